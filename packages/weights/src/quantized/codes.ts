/** One code for each byte. @param words as AffineCodes has them */
export function unpackCodes(words: Uint32Array<ArrayBuffer>, bits: 4 | 8): Uint8Array<ArrayBuffer> {
  // Eight bits are bytes already, the lowest first, as every machine with WebAssembly has them.
  const bytes = new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
  if (bits === 8) return bytes;
  const codes = new Uint8Array(2 * bytes.length);
  for (let i = 0; i < bytes.length; i++) {
    codes[2 * i] = bytes[i] & 15;
    codes[2 * i + 1] = bytes[i] >> 4;
  }
  return codes;
}

/** The way back; what fills the last word is 0. */
export function packCodes(codes: Uint8Array<ArrayBuffer>, bits: 4 | 8): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(Math.ceil((codes.length * bits) / 32));
  const bytes = new Uint8Array(words.buffer);
  if (bits === 8) {
    bytes.set(codes);
    return words;
  }
  for (let i = 0; i < codes.length; i++) bytes[i >> 1] |= codes[i] << (4 * (i & 1));
  return words;
}
