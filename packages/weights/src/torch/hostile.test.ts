import { existsSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { contentsOf, fixtureBytes, fixturePath, fixtureSource } from '../fixtures.test-support.ts';
import { PickleError } from '../pickle/pickle-error.ts';
import { bufferSource } from '../source/byte-source.ts';
import { openTorch } from './open.ts';

interface HostileCase {
  rule: string;
  says: string;
}

const cases: Record<string, HostileCase> = JSON.parse(
  readFileSync(fixturePath('hostile', 'weights', 'cases.json'), 'utf8'),
);

it.each(Object.entries(cases))('%s is refused by name, with nothing run', async (name, { rule, says }) => {
  const heapBefore = process.memoryUsage().heapUsed;
  const error = await openTorch(fixtureSource('hostile', 'weights', name))
    .then((checkpoint) => contentsOf(checkpoint))
    .catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(PickleError);
  expect(error).toMatchObject({ rule });
  expect((error as Error).message).toContain(says);
  expect((error as Error).message).toContain(name);
  expect(existsSync('hostile-was-here')).toBe(false);
  expect(process.memoryUsage().heapUsed - heapBefore).toBeLessThan(300e6);
});

it('says in one line what was refused, where, and that nothing was run', async () => {
  await expect(openTorch(fixtureSource('hostile', 'weights', 'os-system-4.pkl'))).rejects.toThrow(
    /^os-system-4\.pkl: a pickle names only what is on the list of tensors and plain data; got os\.system; nothing was run; save the state_dict alone in PyTorch \(before byte \d+\)$/,
  );
});

it('lets a class through as inert data only when the caller names it', async () => {
  const name = 'argparse.Namespace';
  const checkpoint = await openTorch(fixtureSource('hostile', 'weights', 'object-newobj.pkl'), {
    inertGlobals: [name],
  });
  expect(checkpoint.value).toEqual({ class: name });
  expect(checkpoint.keys()).toEqual([]);
});

it('refuses a pickle that is cut anywhere', async () => {
  const bytes = fixtureBytes('hostile', 'weights', 'in-a-list.pkl');
  for (let length = 0; length < bytes.length; length++) {
    await expect(openTorch(bufferSource(bytes.slice(0, length)))).rejects.toBeInstanceOf(PickleError);
  }
});
