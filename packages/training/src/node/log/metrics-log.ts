import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { openLogFile } from './log-file.ts';

/** What one line may say: numbers and texts by name. */
export type MetricsRecord = Readonly<Record<string, number | string | boolean | null>>;

/** A file of lines, each of which is a JSON object with its step. */
export interface MetricsLog {
  readonly path: string;
  /** What was repaired when it was opened, for people. */
  readonly notes: readonly string[];
  /** Adds a line. Numbers that are not finite become the texts `NaN`, `Infinity`, `-Infinity`. @throws on no step */
  append(step: number, record: MetricsRecord): void;
  close(): void;
}

interface Line {
  readonly text: string;
  /** undefined where it is no record. */
  readonly step?: number;
}

function lineOf(text: string): Line {
  try {
    const value: unknown = JSON.parse(text);
    const step = (value as { step?: unknown } | null)?.step;
    return typeof step === 'number' ? { text, step } : { text };
  } catch {
    return { text };
  }
}

const counted = (count: number): string => `${count} ${count === 1 ? 'line' : 'lines'}`;

/** The lines that stay, and what is said about the others. @throws when a line within the file is no record */
function repaired(path: string, text: string, resumedStep: number): { lines: Line[]; notes: string[] } {
  const lines = text
    .split('\n')
    .filter((each) => each !== '')
    .map(lineOf);
  const notes: string[] = [];
  const end = lines.findLastIndex(({ step }) => step !== undefined) + 1;
  const torn = lines.splice(end).length;
  if (torn > 0) notes.push(`dropped ${counted(torn)} at the end that a killed run had not written whole`);
  const bad = lines.findIndex(({ step }) => step === undefined);
  if (bad >= 0) {
    throw new Error(
      `metrics: ${path}: each line is a JSON object with a step; got another thing in line ${bad + 1}; ` +
        'move the file away',
    );
  }
  const kept = lines.filter(({ step }) => (step as number) <= resumedStep);
  const later = lines.length - kept.length;
  if (later > 0) notes.push(`dropped ${counted(later)} after step ${resumedStep}, from which the run goes on`);
  return { lines: kept, notes };
}

/** JSON has no such numbers. */
const spelled = (_: string, value: unknown): unknown =>
  typeof value === 'number' && !Number.isFinite(value) ? String(value) : value;

const encode = (step: number, record: object): string =>
  `${JSON.stringify(Object.assign({ step }, record, { step }), spelled)}\n`;

/** Opens a log of metrics for a run that goes on from a step, 0 for one that begins. A last line that a killed run had
 * not written whole is dropped, and so are the lines of later steps, which will come again; a line in the file then
 * says so. @throws when the file is no such log */
export function openMetricsLog(path: string, resumedStep: number): MetricsLog {
  mkdirSync(dirname(path), { recursive: true });
  const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
  const { lines, notes } = repaired(path, text, resumedStep);
  const kept =
    lines.map((line) => `${line.text}\n`).join('') + notes.map((note) => encode(resumedStep, { note })).join('');
  if (kept !== text) {
    writeFileSync(`${path}.tmp`, kept);
    renameSync(`${path}.tmp`, path);
  }
  const file = openLogFile(path);
  return {
    path,
    notes,
    append(step, record) {
      if (!(Number.isSafeInteger(step) && step >= 0)) {
        throw new Error(`metrics: a step is a whole number from 0; got ${step}; count the updates done`);
      }
      file.append(encode(step, record));
    },
    close: () => file.close(),
  };
}
