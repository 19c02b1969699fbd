import { printable } from '@rass/nn';
import type { MergeParameters } from '../methods/method.ts';
import type { MergePlan, PlanAdapter, PlanGroup, PlanUnmatched } from './merge-plan.ts';

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB'];

/** Bytes in units of a thousand, as files are sold and shards are cut. */
export function sizeText(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(value < 10 ? 2 : 1)} ${UNITS[unit]}`;
}

const valueText = (value: unknown): string =>
  Array.isArray(value)
    ? value.map(valueText).join(' : ')
    : typeof value === 'number'
      ? `${Number(value.toFixed(4))}`
      : `${value}`;

const parametersText = (parameters: MergeParameters): string =>
  Object.entries(parameters)
    .map(([name, value]) => `${name} ${valueText(value)}`)
    .join(', ');

function row({ block, method, parameters, tensors, bytes }: PlanGroup): string[] {
  return [block, `${tensors}`, sizeText(bytes), `${method} ${parametersText(parameters)}`.trim()];
}

function table(unescaped: readonly (readonly string[])[]): string[] {
  const rows = unescaped.map((cells) => cells.map(printable));
  const widths = rows[0].map((_, column) => rows.reduce((most, cells) => Math.max(most, cells[column].length), 0));
  const isText = (column: number) => column === 0 || column === 3;
  return rows.map((cells) =>
    cells
      .map((cell, column) => (isText(column) ? cell.padEnd(widths[column]) : cell.padStart(widths[column])))
      .join('  ')
      .trimEnd(),
  );
}

const LISTED = 5;

const listText = (names: readonly string[]): string =>
  `${names.slice(0, LISTED).join(', ')}${names.length > LISTED ? ` and ${names.length - LISTED} more` : ''}`;

const counted = (count: number, one: string): string => `${count} ${one}${count === 1 ? '' : 's'}`;

/** An adapter with what it is and how strongly it acts. */
function adapterText({
  model,
  path,
  adapter,
  format,
  component,
  scale,
  layers,
  whole,
  ranks,
  leftOut,
}: PlanAdapter): string {
  const name = adapter === 'default' ? '' : ` ${adapter}`;
  const parts = [
    `${format}, ${component}`,
    counted(layers, 'layer') + (ranks.length === 0 ? '' : ` of rank ${ranks.join(', ')}`),
    ...(whole === 0 ? [] : [`${counted(whole, 'tensor')} trained whole`]),
    ...(leftOut.length === 0 ? [] : [`left out: ${listText(leftOut)}`]),
  ];
  return `${model} + ${valueText(scale)} ${path}${name}: ${parts.join('; ')}`;
}

function unmatchedText({ kept, dropped }: PlanUnmatched): string[] {
  return [
    ...(kept.length === 0 ? [] : [`kept, of one model: ${listText(kept)}`]),
    ...(dropped.length === 0 ? [] : [`dropped, of one model: ${listText(dropped)}`]),
  ];
}

/** A plan as a table of what happens to each block. */
export function planText(plan: Omit<MergePlan, 'toString'>): string {
  const { recipe, tensors, bytesRead, bytesWritten, peakBytes, groups, adapters, unmatched } = plan;
  const notes = [...adapters.map(adapterText), ...unmatchedText(unmatched)];
  const stages = recipe.stages.length === 1 ? '' : `${recipe.stages.length} stages, `;
  return [
    `${printable(recipe.name)}: ${stages}${tensors} tensors; reads ${sizeText(bytesRead)}, writes ${sizeText(bytesWritten)}, ` +
      `takes about ${sizeText(peakBytes)} of memory`,
    '',
    ...table([['block', 'tensors', 'size', 'what is done'], ...groups.map(row)]),
    ...(notes.length === 0 ? [] : ['', ...notes]),
  ].join('\n');
}
