/** Whether a file starts as a zip archive does. */
export const looksLikeZip = (first: Uint8Array): boolean =>
  first[0] === 0x50 && first[1] === 0x4b && first[2] === 3 && first[3] === 4;
