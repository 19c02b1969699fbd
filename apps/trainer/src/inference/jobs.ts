import { stat } from 'node:fs/promises';
import { basename, join, parse, resolve } from 'node:path';
import type { RgbImage } from '@rass/images';
import { listImages, readImage } from '@rass/images/node';
import { checkResult, isInside, isSame } from '../files.ts';
import { progressReporter } from '../terminal.ts';

/** An image that is asked for. */
export interface ImageJob {
  readonly path: string;
  /** Of its results, without an ending: its path below the folder that was given. */
  readonly name: string;
}

const withoutEnding = (path: string): string => {
  const { dir, name } = parse(path);
  return join(dir, name);
};

/** The images that files and folders stand for, but for those in the folder of results. Two that differ in their ending alone keep it in
 * their results' names. @throws when an input is not there, a folder has no image, or results would lie among the images */
export async function imageJobs(inputs: readonly string[], out?: string): Promise<ImageJob[]> {
  const found: { path: string; below: string }[] = [];
  for (const input of inputs) {
    const entry = await stat(input).catch(() => undefined);
    if (entry === undefined) throw new Error(`${input}: an input is a file or a folder; got nothing; check the path`);
    if (!entry.isDirectory()) found.push({ path: input, below: basename(input) });
    else {
      if (out !== undefined && isSame(out, input)) {
        throw new Error(
          `${out}: results lie in a folder of their own; got that of the images; name another, such as ${join(out, 'results')}`,
        );
      }
      const all = await listImages(input);
      const images = all.filter((below) => out === undefined || !isInside(join(input, below), out));
      if (images.length === 0)
        throw new Error(`${input}: a folder has images, .jpg, .png or .webp; got none; give another`);
      found.push(...images.map((below) => ({ path: join(input, below), below })));
    }
  }
  const counts = new Map<string, number>();
  for (const { below } of found) counts.set(withoutEnding(below), (counts.get(withoutEnding(below)) ?? 0) + 1);
  const jobs = found.map(({ path, below }) => ({
    path,
    name: counts.get(withoutEnding(below)) === 1 ? withoutEnding(below) : below,
  }));
  const names = new Set<string>();
  for (const { path, name } of jobs) {
    if (names.has(name))
      throw new Error(`${path}: results have one image each; got two of "${name}"; give them one at a time`);
    names.add(name);
  }
  return jobs;
}

/** That no result takes an image's place. @throws when one would */
export function checkJobs(
  where: string,
  jobs: readonly ImageJob[],
  resultsOf: (name: string) => readonly string[],
): void {
  const paths = new Set(jobs.map(({ path }) => resolve(path)));
  for (const result of jobs.flatMap(({ name }) => resultsOf(name)))
    if (paths.has(resolve(result))) checkResult(where, result, [result]);
}

export interface JobsResult {
  readonly done: number;
  /** A line for each image that failed. */
  readonly failed: readonly string[];
}

export interface JobsOptions {
  readonly stage: string;
  readonly maxPixels?: number;
  readonly work: (image: RgbImage, job: ImageJob) => Promise<void>;
}

/** Works on each image, with a bar; one that cannot be read or worked on is reported on standard error and left out. */
export async function runJobs(jobs: readonly ImageJob[], { stage, maxPixels, work }: JobsOptions): Promise<JobsResult> {
  const { report, end } = progressReporter();
  const failed: string[] = [];
  for (const [i, job] of jobs.entries()) {
    report({ stage, what: job.path, done: i, total: jobs.length });
    try {
      await work(await readImage(job.path, { ...(maxPixels !== undefined && { maxPixels }) }), job);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      // The command's spelling of what the reader calls an option.
      const said = message.replace('raise maxPixels', 'raise --max-pixels');
      const line = said.startsWith(job.path) ? said : `${job.path}: ${said}`;
      end();
      console.error(line.replaceAll('\n', ' '));
      failed.push(line);
    }
  }
  end();
  return { done: jobs.length - failed.length, failed };
}

/** Sums the run up, and sets the process's status. */
export function finishJobs({ done, failed }: JobsResult, out: string, seconds: number): void {
  const each = done > 0 ? `, ${(seconds / done).toFixed(2)} s each` : '';
  console.log(`${done} of ${done + failed.length} images done${each}: ${out}`);
  if (failed.length === 0) return;
  console.error(`${failed.length} of them could not be done; what is wrong with each stands above`);
  process.exitCode = 1;
}
