/** What a decoder says of a file. */
export class DecoderError extends Error {}
