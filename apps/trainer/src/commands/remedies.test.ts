import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../../../../', import.meta.url));

/** The sources of what the program runs: its own and every package's, tests apart. */
const sources = ['apps/trainer/src', ...readdirSync(join(ROOT, 'packages')).map((name) => `packages/${name}/src`)]
  .filter((folder) => !folder.includes('testkit'))
  .flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' }).map((file) => `${folder}/${file}`),
  )
  .filter((file) => file.endsWith('.ts') && !/\.(test|test-support|generated)\.ts$/.test(file))
  .map((file) => ({ file, text: readFileSync(join(ROOT, file), 'utf8') }));

/** What is quoted in a line and is a sentence, or a part of one. */
const sentences = sources.flatMap(({ file, text }) =>
  text
    .split('\n')
    .filter((line) => !/^\s*(\/\/|\/?\*)/.test(line))
    .flatMap((line) => [...line.matchAll(/(['"`])((?:(?!\1)[^\\]|\\.)*)\1/g)])
    .filter(([, , message]) => message!.includes(' '))
    .map(([, , message]) => ({ file, message: message! })),
);

const options = new Set(
  sources.flatMap(({ text }) =>
    [...text.matchAll(/ption\(\s*['"](?:-\w, )?(--[\w-]+)/g)].map(([, name]) => name!.replace(/^--no-/, '--')),
  ),
);

/** Of other programs, which a message tells to run. */
const FOREIGN = ['--ignore-scripts'];

/** Options of functions that a command calls for its user, who has no way to give them. */
const OF_FUNCTIONS = /\b(inertGlobals|in ignore|raise maxTokens|allowUnused|allowMissing|allowNonFinite)\b/;
/** Where a message is a default, for programs, and every command of ours gives another, or calls it never. */
const FOR_PROGRAMS = [
  'packages/lora/src/files/open-adapter.ts',
  'packages/weights/src/load/load-params.ts',
  'packages/weights/src/stable-diffusion/single-file.ts',
];

describe('a remedy that a message names', () => {
  it('is an option of a command', () => {
    expect(sentences.length).toBeGreaterThan(1000);
    expect(options.size).toBeGreaterThan(40);
    const named = sentences
      .filter(({ message }) => message.includes('; '))
      .flatMap(({ file, message }) =>
        [...message.matchAll(/(?<![\w-])--[a-z][\w-]*/g)].map(([name]) => ({
          file,
          name: name.replace(/^--no-/, '--'),
        })),
      );
    expect(named.length).toBeGreaterThan(20);
    expect(named.filter(({ name }) => !options.has(name) && !FOREIGN.includes(name))).toEqual([]);
  });

  it('is no option of a function that commands call', () => {
    const unusable = sentences.filter(
      ({ file, message }) => OF_FUNCTIONS.test(message) && !FOR_PROGRAMS.includes(file),
    );
    expect(unusable).toEqual([]);
  });
});
