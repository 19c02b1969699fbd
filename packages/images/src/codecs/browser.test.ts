import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Golden, loadGolden } from '@rass/testkit';
import { chromiumExecutable, closeBrowsers, runInChromium } from '@rass/testkit/browser';
import { afterAll, describe, expect, it } from 'vitest';
import { decodeImage } from '../index.ts';

const here = fileURLToPath(new URL('.', import.meta.url));
const golden: Golden = loadGolden('images/colours');
const hostile: Golden = loadGolden('images/hostile');
const { files } = golden.config as { files: string[] };
const BAD = ['cgbi.png', 'claims.jpg', 'profile-bomb.png', 'cut.webp'];

const bytesOf = (from: Golden, name: string): Uint8Array => Uint8Array.from(from.raw(`in/${name}`).values);

interface Answer {
  readonly width?: number;
  readonly height?: number;
  readonly data?: number[];
  readonly message?: string;
}

/** The worker's answers. */
const PAGE = `
  const worker = new Worker('/worker.js', { type: 'module' });
  const asked = (name) => new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = ({ message }) => reject(new Error(message));
    worker.postMessage('/' + name);
  });
  export default async function () {
    const answers = [];
    for (const name of await (await fetch('/names')).json()) answers.push(await asked(name));
    return answers;
  }`;

async function inNode(bytes: Uint8Array, name: string): Promise<Answer> {
  try {
    const { width, height, data } = await decodeImage(bytes, { name });
    return { width, height, data: [...data] };
  } catch (error) {
    return { message: (error as Error).message };
  }
}

describe.skipIf(chromiumExecutable() === undefined)('in a worker of Chromium', () => {
  afterAll(closeBrowsers);

  it('decodes and refuses as in Node', async () => {
    const served: Record<string, Uint8Array> = {};
    for (const name of files) served[`/${name}`] = bytesOf(golden, name);
    for (const name of BAD) served[`/${name}`] = bytesOf(hostile, name);
    const names = [...files, ...BAD];
    const answers = await runInChromium<Answer[]>(PAGE, {
      resolveFrom: here,
      withoutWebgpu: true,
      files: { ...served, '/names': new TextEncoder().encode(JSON.stringify(names)) },
      scripts: { '/worker.js': join(here, 'decode-worker.test-support.ts') },
    });
    expect(answers.length).toBe(names.length);
    for (const [i, name] of names.entries())
      expect(answers[i], name).toEqual(await inNode(served[`/${name}`]!, `/${name}`));
    expect(answers.filter(({ message }) => message !== undefined).length).toBe(BAD.length);
  }, 120_000);
});
