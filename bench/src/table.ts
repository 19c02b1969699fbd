import { readFileSync, writeFileSync } from 'node:fs';
import type { Result } from './duel.ts';

const README = new URL('../README.md', import.meta.url);

/** One measured line of a table. */
export interface Line {
  title: string;
  result: Result;
}

export interface TableOptions {
  /** `ms` for ops, `s` for models, whose memory is shown too. */
  unit: 'ms' | 's';
  theirs: string;
  /** What the memory is; default that of the process at its peak. */
  memory?: string;
}

const digits = (value: number): string => value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0);
const gigabytes = (bytes: number): string => (bytes / 1e9).toFixed(2);

function cells({ title, result }: Line, unit: 'ms' | 's'): string[] {
  const scale = unit === 'ms' ? 1000 : 1;
  const time = [result.ourSeconds * scale, result.theirSeconds * scale].map(digits);
  const memory = unit === 's' ? [gigabytes(result.ourPeakBytes), gigabytes(result.theirPeakBytes)] : [];
  return [title, ...time, result.ratio.toFixed(2), ...memory];
}

/** The lines as a Markdown table. */
export function table(lines: readonly Line[], { unit, theirs, memory: what = 'peak' }: TableOptions): string {
  const memory = unit === 's' ? [`ours, ${what} GB`, `${theirs}, ${what} GB`] : [];
  const head = ['', `ours, ${unit}`, `${theirs}, ${unit}`, 'time ratio', ...memory];
  const rows = [head, ['---', ...head.slice(1).map(() => '---:')], ...lines.map((line) => cells(line, unit))];
  return rows.map((row) => `| ${row.join(' | ')} |`).join('\n');
}

/** Puts text between `<!-- name -->` and `<!-- /name -->` in the README. @throws where it has no such marks */
export function writeBetweenMarks(name: string, text: string): void {
  const readme = readFileSync(README, 'utf8');
  const [start, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
  const [from, to] = [readme.indexOf(start), readme.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`bench: README.md has the marks ${start} and ${end}; they are missing`);
  writeFileSync(README, `${readme.slice(0, from + start.length)}\n${text}\n${readme.slice(to)}`);
}
