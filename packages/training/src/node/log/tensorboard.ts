import { existsSync, mkdirSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { encode as encodePng } from 'fast-png';
import { type EventContent, encodeEvent, encodeRecord } from './event-record.ts';
import { openLogFile } from './log-file.ts';

/** A picture: RGB interleaved, row by row, 0 to 255. */
export interface RgbImage {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array | Uint8ClampedArray;
}

/** A file of events that TensorBoard shows. */
export interface TensorboardLog {
  readonly path: string;
  /** Points of curves by tag: `loss/mask`. NaN and infinities are shown as such. */
  scalars(step: number, values: Readonly<Record<string, number>>): void;
  /** @throws when there are not three bytes for each point */
  image(step: number, tag: string, image: RgbImage): void;
  close(): void;
}

/** A name that no other file has, and that sorts by time, as TensorBoard reads them. */
function eventFile(folder: string, milliseconds: number): string {
  const seconds = String(Math.floor(milliseconds / 1000)).padStart(10, '0');
  for (let number = 0; ; number++) {
    const path = join(folder, `events.out.tfevents.${seconds}.${hostname()}.${process.pid}.${number}`);
    if (!existsSync(path)) return path;
  }
}

/** Starts a file of events in a folder, for a run that goes on from a step, 0 for one that begins. In the older files
 * of the folder, later steps count no more for TensorBoard. */
export function openTensorboard(folder: string, resumedStep: number): TensorboardLog {
  mkdirSync(folder, { recursive: true });
  const path = eventFile(folder, Date.now());
  const file = openLogFile(path);
  const write = (step: number, content: EventContent): void => {
    if (!(Number.isSafeInteger(step) && step >= 0)) {
      throw new Error(`tensorboard: a step is a whole number from 0; got ${step}; count the updates done`);
    }
    file.append(encodeRecord(encodeEvent(step, Date.now() / 1000, content)));
  };
  write(0, { fileVersion: 'brain.Event:2' });
  // The steps up to the resumed one stay.
  if (resumedStep > 0) write(resumedStep + 1, { start: true });
  return {
    path,
    scalars: (step, scalars) => write(step, { scalars }),
    image(step, tag, { width, height, data }) {
      if (data.length !== 3 * width * height) {
        throw new Error(
          `tensorboard: an image has three bytes for each point; got ${data.length} of "${tag}", ${width} x ${height}; ` +
            'leave out alpha',
        );
      }
      const png = encodePng({ width, height, data: new Uint8Array(data), channels: 3, depth: 8 });
      write(step, { images: { [tag]: { width, height, png } } });
    },
    close: () => file.close(),
  };
}
