import { printable } from '@rass/nn';
import { WeightsError } from '../error.ts';

/** What was asked for, what was there, and how the two fit. */
export interface LoadReport {
  /** The checkpoint's name. */
  readonly checkpoint: string;
  /** Keys that were loaded, in the order of the file. */
  readonly used: readonly string[];
  /** Asked for and not there, with the keys that are most like it and unused. */
  readonly missing: readonly { key: string; shape: readonly number[]; closest: readonly string[] }[];
  /** There and not asked for. */
  readonly unused: readonly string[];
  readonly wrongShape: readonly { key: string; expected: readonly number[]; found: readonly number[] }[];
  /** Loaded, with values that are infinite or not numbers. */
  readonly nonFinite: readonly { key: string; count: number }[];
  /** Numbers loaded. */
  readonly parameters: number;
  /** Several lines to be read by people. */
  toString(): string;
}

/** Loading found something that the caller had not allowed by name. `report` has it all. */
export class LoadError extends WeightsError {
  readonly report: LoadReport;

  constructor(message: string, report: LoadReport) {
    super('LoadMismatch', message);
    this.name = 'LoadError';
    this.report = report;
  }
}

const MAX_LISTED = 20;

const shapeText = (shape: readonly number[]): string => `[${shape.join(', ')}]`;

function section(title: string, lines: readonly string[]): string[] {
  if (lines.length === 0) return [];
  const more = lines.length - MAX_LISTED;
  const listed = lines
    .slice(0, MAX_LISTED)
    .map((line) => `  ${printable(line.length > 500 ? `${line.slice(0, 500)}...` : line)}`);
  return [`${title} (${lines.length}):`, ...listed, ...(more > 0 ? [`  and ${more} more`] : [])];
}

/** A report with its text. */
export function loadReport(parts: Omit<LoadReport, 'toString'>): LoadReport {
  const { checkpoint, used, missing, unused, wrongShape, nonFinite, parameters } = parts;
  const asked = used.length + missing.length + wrongShape.length;
  const print = (): string =>
    [
      `${printable(checkpoint)}: ${used.length} of ${asked} tensors loaded, ${parameters} parameters`,
      ...section(
        'missing',
        missing.map(({ key, shape, closest }) => {
          const hint = closest.length > 0 ? `; did you mean ${closest.join(', ')}?` : '';
          return `${key} ${shapeText(shape)}${hint}`;
        }),
      ),
      ...section(
        'wrong shape',
        wrongShape.map(
          ({ key, expected, found }) => `${key}: expected ${shapeText(expected)}, found ${shapeText(found)}`,
        ),
      ),
      ...section('unused', unused),
      ...section(
        'not finite',
        nonFinite.map(({ key, count }) => `${key}: ${count} values`),
      ),
    ].join('\n');
  return { ...parts, toString: print };
}
