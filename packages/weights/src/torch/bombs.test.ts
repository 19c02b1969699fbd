import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runBounded } from '@rass/testkit/bounded';
import { describe, expect, it } from 'vitest';
import { fixturePath } from '../fixtures.test-support.ts';
import { PickleError } from '../pickle/pickle-error.ts';
import { bufferSource } from '../source/byte-source.ts';
import { openTorch } from './open.ts';

interface Bomb {
  rule: string;
  says: string;
  inert: string[];
}

/** Opens a file, and tells how that ended and the processor time until then. */
const OPEN = `
  import { readFileSync } from 'node:fs';
  import { bufferSource } from ${JSON.stringify(new URL('../source/byte-source.ts', import.meta.url).href)};
  import { openTorch } from ${JSON.stringify(new URL('./open.ts', import.meta.url).href)};
  const [path, name, ...inertGlobals] = process.argv.slice(1);
  const source = bufferSource(new Uint8Array(readFileSync(path)), name);
  const start = process.cpuUsage();
  const error = await openTorch(source, { inertGlobals }).then(() => ({ message: 'it was read' }), (reason) => reason);
  const seconds = process.cpuUsage(start).user / 1e6;
  console.log(JSON.stringify({ type: error.name, rule: error.rule, message: error.message, seconds }));`;

describe('a pickle of a few kilobytes that would take gigabytes or minutes', () => {
  const folder = fixturePath('hostile', 'weights-bombs');
  const cases: Record<string, Bomb> = JSON.parse(readFileSync(`${folder}/cases.json`, 'utf8'));
  const cwd = dirname(fileURLToPath(import.meta.url));

  it.each(Object.entries(cases))('%s is refused by type within two seconds and 512 MB', async (name, bomb) => {
    const { text, problems, megabytes } = await runBounded(OPEN, {
      cwd,
      args: [`${folder}/${name}`, name, ...bomb.inert],
    });
    expect(text, problems.slice(0, 2000)).not.toBe('');
    const { seconds, message, ...error } = JSON.parse(text);
    expect(error).toEqual({ type: 'PickleError', rule: bomb.rule });
    expect(message).toContain(bomb.says);
    expect(message.length).toBeLessThan(1000);
    expect(message.split(name)).toHaveLength(2);
    expect(seconds).toBeLessThan(2);
    expect(megabytes).toBeLessThan(512);
  });
});

it('hears an abort while a pickle is read', async () => {
  const endless = new Uint8Array(10_000_000).map((_, i) => (i % 2 === 0 ? 0x4e : 0x30));
  const controller = new AbortController();
  const reading = openTorch(bufferSource(endless, 'slow.pkl'), { signal: controller.signal });
  setTimeout(() => controller.abort(new Error('given up')), 1);
  await expect(reading).rejects.toThrow('given up');
});

it('says what to do with a pickle that builds too much', async () => {
  const lists = new Uint8Array(2_000_000).fill(0x5d);
  const opening = openTorch(bufferSource(lists, 'lists.pkl'));
  await expect(opening).rejects.toBeInstanceOf(PickleError);
  await expect(openTorch(bufferSource(lists, 'lists.pkl'))).rejects.toThrow(
    'lists.pkl: what a pickle builds takes at most 96 MB in memory, without its tensors; got more; save the tensors alone, as torch.save(model.state_dict(), path) does',
  );
});
