/** Where TensorFlow.js's files lie, by their names. In the source nowhere: a page says it. What is packed has them beside the worker, and this
 * module is written anew for it (pack/build.ts). */
export const ownWasm: Readonly<Record<string, string>> | undefined = undefined;
