import { printable } from './printable.ts';

const MOST = 200;

/** A value as an error has it: JSON, cut where it is long. */
export function shown(value: unknown): string {
  const text = printable(JSON.stringify(value) ?? String(value));
  return text.length > MOST ? `${text.slice(0, MOST)}...` : text;
}
