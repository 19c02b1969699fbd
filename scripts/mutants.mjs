// `pnpm mutants [--count 60] [--seed 1] [--out out/mutants.jsonl]`: changes the sources at random places, one at a time (an operator, a number, a
// condition), and runs the tests that could notice. What no test notices is printed in the end. A run that was stopped goes on where it was:
// each change is drawn from the seed alone, and its result is a line of the file. Run it on a clean checkout; each source is put back.
import { spawnSync } from 'node:child_process';
import { appendFileSync, existsSync, globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, sep } from 'node:path';
import { parseArgs } from 'node:util';
import { parseSync, Visitor } from 'oxc-parser';
import { root } from './toolchain.mjs';

const { values } = parseArgs({
  options: {
    count: { type: 'string', default: '60' },
    seed: { type: 'string', default: '1' },
    out: { type: 'string', default: join(root, 'out', 'mutants.jsonl') },
    minutes: { type: 'string', default: '8' },
  },
});

/** What each operator becomes. */
const OPERATORS = {
  '+': '-',
  '-': '+',
  '*': '/',
  '/': '*',
  '%': '*',
  '<': '<=',
  '<=': '<',
  '>': '>=',
  '>=': '>',
  '===': '!==',
  '!==': '===',
  '&&': '||',
  '||': '&&',
  '??': '&&',
};

/** A generator of numbers from 0 to 1 (mulberry32). */
function randomOf(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The changes that a file offers, in the order of its text. */
function placesOf(file) {
  const text = readFileSync(join(root, file), 'utf8');
  const places = [];
  /** Numbers and truth values that are types. */
  const types = new Set();
  const change = (start, end, to) => places.push({ file, start, end, from: text.slice(start, end), to });
  const operator = ({ operator: from, left, right }) => {
    const at = text.indexOf(from, left.end);
    if (OPERATORS[from] !== undefined && at >= 0 && at < right.start) change(at, at + from.length, OPERATORS[from]);
  };
  const condition = ({ test }) => test && change(test.start, test.end, `!(${text.slice(test.start, test.end)})`);
  new Visitor({
    BinaryExpression: operator,
    LogicalExpression: operator,
    IfStatement: condition,
    ConditionalExpression: condition,
    WhileStatement: condition,
    TSLiteralType: ({ literal }) => types.add(literal.start),
    Literal(node) {
      if (types.has(node.start)) return;
      if (typeof node.value === 'number') change(node.start, node.end, node.value === 0 ? '1' : `(${node.raw} + 1)`);
      if (typeof node.value === 'boolean') change(node.start, node.end, `${!node.value}`);
    },
  }).visit(parseSync(file, text).program);
  return places.sort((a, b) => a.start - b.start || a.end - b.end);
}

const sources = globSync(['packages/*/src/**/*.ts', 'apps/*/src/**/*.ts'], { cwd: root })
  .map((file) => file.split(sep).join('/'))
  .filter((file) => !/\.test\.ts$|\.test-support\.ts$|\/index\.ts$|^packages\/testkit\//.test(file))
  .sort();

const lineOf = (text, at) => text.slice(0, at).split('\n').length;

/** Runs vitest; whether all tests passed, and which failed first. WebGPU's software driver is slow: only its own sources need it. */
function tested(file, args) {
  const backends = process.env.RASS_TEST_BACKENDS ?? (file.includes('webgpu') ? 'webgpu' : 'native,wasm,cpu');
  const env = { ...process.env, RASS_TEST_BACKENDS: backends };
  const report = join(root, 'out', `mutant-${process.pid}.json`);
  const all = ['related', '--run', '--bail', '1', '--maxWorkers', '1', '--passWithNoTests', '--reporter=json', `--outputFile=${report}`, file, ...args]; // biome-ignore format: one line
  const run = spawnSync('vitest', all, { cwd: root, encoding: 'utf8', env, timeout: Number(values.minutes) * 60_000 });
  if (run.error?.code === 'ETIMEDOUT') return { killed: true, by: 'time' };
  if (run.status === 0) {
    const { numPassedTests } = JSON.parse(readFileSync(report, 'utf8'));
    return { killed: false, passed: numPassedTests };
  }
  try {
    const { testResults } = JSON.parse(readFileSync(report, 'utf8'));
    const failed = testResults.find(({ status }) => status === 'failed');
    const test = failed.assertionResults.find(({ status }) => status === 'failed');
    return {
      killed: true,
      by: `${failed.name.slice(root.length + 1)}: ${test?.fullName ?? failed.message?.split('\n')[0]}`,
    };
  } catch {
    return { killed: true, by: (run.stderr || run.stdout).trim().split('\n').slice(-3).join(' ').slice(0, 300) };
  }
}

/** The package's own tests first, then all that import the file, as far as they come in the time. */
function resultOf(file) {
  const near = tested(file, ['--dir', `${file.split('/').slice(0, 2).join('/')}/`]);
  if (near.killed) return near;
  const all = tested(file, []);
  return { ...all, killed: all.killed && all.by !== 'time', near: near.passed };
}

mkdirSync(dirname(values.out), { recursive: true });
const known = existsSync(values.out) ? readFileSync(values.out, 'utf8').trim().split('\n').filter(Boolean).map((line) => JSON.parse(line)) : []; // biome-ignore format: one line
const places = sources.flatMap(placesOf);
const random = randomOf(Number(values.seed));
console.log(`${places.length} places in ${sources.length} files`);
for (let i = 0; i < Number(values.count); i++) {
  const { file, start, end, from, to } = places[Math.floor(random() * places.length)];
  if (known.some((result) => result.number === i)) continue;
  const path = join(root, file);
  const text = readFileSync(path, 'utf8');
  const restore = () => writeFileSync(path, text);
  process.once('SIGINT', restore).once('SIGTERM', restore);
  let result;
  try {
    writeFileSync(path, text.slice(0, start) + to + text.slice(end));
    result = { number: i, file, line: lineOf(text, start), from, to, ...resultOf(file) };
  } finally {
    restore();
    process.off('SIGINT', restore).off('SIGTERM', restore);
  }
  known.push(result);
  appendFileSync(values.out, `${JSON.stringify(result)}\n`);
  console.log(
    `${i + 1} ${file}:${result.line} ${from} -> ${to}: ${result.killed ? `noticed by ${result.by}` : 'NOT NOTICED'}`,
  );
}
const unnoticed = known.filter(({ killed }) => !killed);
console.log(`${known.length - unnoticed.length} of ${known.length} changes noticed`);
for (const { file, line, from, to } of unnoticed) console.log(`not noticed: ${file}:${line} ${from} -> ${to}`);
