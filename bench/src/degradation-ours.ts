// Our side of the rows of degradation: a process that answers lines of JSON on its standard input (see contestant.ts).
import { createInterface } from 'node:readline';
import { degrade, RASS_DEGRADATION } from '@rass/degradation';
import { openDegradationPool } from '@rass/degradation/node';
import { benchPicture, IMAGES } from './rows/degradation.ts';

const image = benchPicture();
const seeds = Array.from({ length: IMAGES }, (_, seed) => seed);
const pool = openDegradationPool(RASS_DEGRADATION, { threads: 2 });

const ways: Record<string, () => Promise<void>> = {
  async thread() {
    for (const seed of seeds) degrade(image, RASS_DEGRADATION, { seed });
  },
  async pool() {
    for await (const { error } of pool.inOrder(seeds.map((seed) => ({ image, seed })))) if (error) throw error;
  },
};
let run = ways.thread;

for await (const line of createInterface({ input: process.stdin })) {
  const question = JSON.parse(line) as { prepare?: string; run?: number };
  if (question.prepare !== undefined) {
    run = ways[question.prepare];
    console.log(JSON.stringify({ versions: { node: process.version } }));
    continue;
  }
  const seconds: number[] = [];
  for (let i = 0; i < (question.run ?? 0); i++) {
    const start = performance.now();
    await run();
    seconds.push((performance.now() - start) / 1000);
  }
  console.log(JSON.stringify({ seconds, peakBytes: process.resourceUsage().maxRSS * 1024 }));
}
await pool.close();
