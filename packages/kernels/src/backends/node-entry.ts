import type * as NodeEntry from '../node.ts';

/** The part of this package that needs Node. The name is in a variable so that a bundler for browsers, which must
 * not follow it into node: modules, leaves the import alone. */
export async function nodeEntry(): Promise<typeof NodeEntry> {
  const name = '@rass/kernels/node';
  return (await import(/* @vite-ignore */ /* webpackIgnore: true */ name)) as typeof NodeEntry;
}
