import { printable } from '@rass/nn';
import { writeRaw } from './printed.ts';

/** Prints an error as one message without a stack, unless RASS_DEBUG is set. */
export function printError(error: unknown): void {
  if (process.env['RASS_DEBUG']) console.error(error);
  else console.error(error instanceof Error ? error.message : String(error));
}

/** Lays rows out in columns as wide as their longest cell. */
export function table(unescaped: readonly (readonly string[])[]): string {
  const rows = unescaped.map((row) => row.map(printable));
  const widths = rows[0]?.map((_, column) => rows.reduce((most, row) => Math.max(most, row[column]!.length), 0)) ?? [];
  const lines = rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd(),
  );
  return lines.join('\n');
}

/** Bytes as people read them. */
export const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(2)} MB`;

/** A share of 1 in percent. */
export const percent = (share: number): string => `${(100 * share).toFixed(2)} %`;

/** Where a long job is, for `progressReporter`. */
export interface Progress {
  stage: string;
  what: string;
  done: number;
  total?: number;
  /** Where each thing has a name of its own: the number of the one under way, from 1 on. */
  item?: number;
}

const BAR_WIDTH = 24;
const REDRAW_MS = 100;
/** How often a log hears of one thing that takes long. */
const LOG_MS = 10_000;

function amount(value: number): string {
  return value >= 1e6 ? `${(value / 1e6).toFixed(0)} MB` : `${value}`;
}

function bar({ done, total }: Progress): string {
  if (total === undefined || total === 0) return done > 0 ? amount(done) : '';
  const share = Math.min(1, done / total);
  const filled = Math.round(share * BAR_WIDTH);
  return `[${'#'.repeat(filled)}${'.'.repeat(BAR_WIDTH - filled)}] ${amount(done)} of ${amount(total)}`;
}

/** A line of a log: the number of what is under way, or how much of it is done. */
function logLine({ stage, what, done, total, item }: Progress): string {
  if (item !== undefined && total !== undefined) return `${stage} ${item} of ${total} ${what}`;
  return `${stage} ${what} ${total === undefined ? amount(done) : `${amount(done)} of ${amount(total)}`}`;
}

/** Reports progress: one line redrawn in place on a terminal; otherwise a line for each stage and file, and again every ten seconds. */
export function progressReporter(stream: NodeJS.WriteStream = process.stderr): {
  report: (progress: Progress) => void;
  end: () => void;
} {
  let last = '';
  let drawnAt = 0;
  let drawn = false;
  const end = () => {
    if (drawn) writeRaw(stream, '\r\x1b[2K');
    drawn = false;
  };
  const report = (progress: Progress) => {
    const title = printable(`${progress.stage} ${progress.what}`);
    const isNew = title !== last;
    last = title;
    const now = Date.now();
    if (!stream.isTTY) {
      if (!isNew && now - drawnAt < LOG_MS) return;
      drawnAt = now;
      const named = isNew && progress.item === undefined;
      stream.write(`${named ? title : logLine(progress)}\n`);
      return;
    }
    if (!isNew && now - drawnAt < REDRAW_MS) return;
    drawnAt = now;
    drawn = true;
    const line = printable(`${progress.stage} ${bar(progress)} ${progress.what}`);
    writeRaw(stream, `\r\x1b[2K${line.slice(0, (stream.columns ?? 80) - 1)}`);
  };
  return { report, end };
}
