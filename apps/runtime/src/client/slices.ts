/** The page's thread does one thing for less than this, so that a frame of 16 ms has time for others, too. */
const SLICE_MS = 5;

/** Ends a task of the page's thread; goes on in another. */
const nextTask = (): Promise<void> =>
  new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });

/** Works through `count` items, `step` at a time, and lets the page's thread do other things in between. */
export async function inSlices(count: number, step: number, work: (start: number, end: number) => void): Promise<void> {
  let begun = performance.now();
  for (let start = 0; start < count; start += step) {
    if (performance.now() - begun >= SLICE_MS) {
      await nextTask();
      begun = performance.now();
    }
    work(start, Math.min(count, start + step));
  }
}
