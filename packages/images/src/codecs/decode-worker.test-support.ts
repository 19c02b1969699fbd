import { decodeImage } from '../index.ts';

const scope = globalThis as unknown as Worker;

/** Answers a file's address with its pixels, as a page's worker would. */
scope.onmessage = async ({ data: path }: MessageEvent<string>) => {
  const bytes = new Uint8Array(await (await fetch(path)).arrayBuffer());
  try {
    const { width, height, data } = await decodeImage(bytes, { name: path });
    scope.postMessage({ width, height, data: [...data] });
  } catch (error) {
    scope.postMessage({ message: (error as Error).message });
  }
};
