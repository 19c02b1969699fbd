import { printable } from './printable.ts';

const MOST = 200;

// JSON has no word for these, and writes null.
const named = (_: string, value: unknown): unknown =>
  typeof value === 'number' && !Number.isFinite(value) ? `${value}` : value;

/** A value as an error has it: JSON, cut where it is long. */
export function shown(value: unknown): string {
  const text = printable(JSON.stringify(value, named) ?? String(value));
  return text.length > MOST ? `${text.slice(0, MOST)}...` : text;
}
