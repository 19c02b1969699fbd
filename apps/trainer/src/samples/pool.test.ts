import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openWorkers } from './pool.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'rass-pool-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const put = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};

/** Answers each job, fails at the job "fail", ends itself at "end", and is silent at "wait". */
const worker = (): URL =>
  pathToFileURL(
    put(
      'worker.mjs',
      `import { parentPort } from 'node:worker_threads';
      parentPort.on('message', ({ id, job }) => {
        if (job === 'end') process.exit(3);
        if (job === 'fail') parentPort.postMessage({ id, error: 'no ' + job });
        else if (job !== 'wait') parentPort.postMessage({ id, result: job });
      });`,
    ),
  );

it('is closed in the end, though an answer comes while it closes', () => {
  const program = `
    import { openWorkers } from ${JSON.stringify(new URL('./pool.ts', import.meta.url).href)};
    import { once } from 'node:events';
    const pool = openWorkers(new URL(${JSON.stringify(worker().href)}), { size: 3 });
    await Promise.all([pool.run('warm'), pool.run('warm'), pool.run('warm')]);
    const jobs = [pool.run('fail'), pool.run('one'), pool.run('two')];
    // Native ops hold the thread: by then all three have answered.
    const until = Date.now() + 200;
    while (Date.now() < until);
    await jobs[0].catch((error) => console.log(error.message));
    await pool.close();
    console.log('closed');`;
  for (let i = 0; i < 5; i++) {
    const { status, stdout, stderr } = spawnSync(process.execPath, [put('program.mjs', program)], { encoding: 'utf8' });
    expect([status, stdout, stderr]).toEqual([0, 'no fail\nclosed\n', '']);
  }
});

it('ends what waits when it is closed, and when a thread ends', async () => {
  const pool = openWorkers<string, string>(worker(), { size: 1 });
  const [busy, queued] = [pool.run('wait'), pool.run('later')];
  const ended = Promise.allSettled([busy, queued]);
  await pool.close();
  for (const each of await ended)
    expect((each as PromiseRejectedResult).reason.message).toContain('a job begins before they are closed');
  await expect(pool.run('again')).rejects.toThrow('a job begins before they are closed; they are; open them again');
  const other = openWorkers<string, string>(worker(), { size: 1, nameOf: (job) => `job ${job}` });
  await expect(other.run('end')).rejects.toThrow(
    'workers: a thread works until it is closed; one has ended with status 3 at job end; start again',
  );
  await other.close();
});
