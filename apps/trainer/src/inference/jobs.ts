import { join, parse, relative, resolve, sep } from 'node:path';
import type { Colour, RgbImage } from '@rass/images';
import { readImage } from '@rass/images/node';
import { printable } from '@rass/nn';
import { checkResult, exists } from '../files.ts';
import { progressReporter } from '../terminal.ts';
import { findInputs, type Input, listedPaths } from './inputs.ts';
import { checkOut, OutputError, openResults, type ResultFile } from './results.ts';

/** An image that is asked for. */
export interface ImageJob {
  readonly path: string;
  /** Of its results, without an ending: its path below the folder that was given, or of the list that it stands in; of one that is not
   * listed, below the folder that all have in common where two images would have one name. */
  readonly name: string;
}

const withoutEnding = (path: string): string => {
  const { dir, name } = parse(path);
  return join(dir, name);
};

/** The folder that all of them lie in. @shape absolute paths */
function commonFolder(folders: readonly string[]): string {
  const [first = [], ...others] = folders.map((folder) => folder.split(sep));
  const length = first.findIndex((part, i) => others.some((other) => other[i] !== part));
  return first.slice(0, length === -1 ? first.length : length).join(sep) || sep;
}

const isRepeated = (names: readonly string[]): ((name: string) => boolean) => {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return (name) => counts.get(name)! > 1;
};

/** Names the images' results: two images that differ in their ending alone keep it. */
export function imageJobs(inputs: readonly Input[]): ImageJob[] {
  const twice = isRepeated(inputs.map(({ below }) => below));
  const common = inputs.some(({ below }) => twice(below)) ? commonFolder(inputs.map(({ root }) => root)) : undefined;
  const named = inputs.map(({ path, root, below, isListed }) => ({
    path,
    below: common === undefined || isListed ? below : relative(common, join(root, below)),
  }));
  const alike = isRepeated(named.map(({ below }) => withoutEnding(below)));
  return named.map(({ path, below }) => ({ path, name: alike(withoutEnding(below)) ? below : withoutEnding(below) }));
}

/** What every command over images is told about them. */
export interface JobFlags {
  readonly out: string;
  /** A file of paths, or - for standard input. */
  readonly list?: string;
}

/** The images of a command, whose results take no photograph's place; says on standard error what is left out.
 * @throws when there is none, an input is neither a file nor a folder, or a result would take an image's place */
export async function openJobs(
  command: string,
  paths: readonly string[],
  { out, list }: JobFlags,
  resultsOf: (name: string) => readonly string[],
): Promise<ImageJob[]> {
  const listed = list === undefined ? undefined : await listedPaths(list);
  if (paths.length === 0 && listed === undefined)
    throw new Error(`${command}: images are files, folders or a list; got none; name one, or give --list`);
  const { images, leftOut } = await findInputs(paths, out, listed);
  for (const line of leftOut) console.error(printable(line));
  const jobs = imageJobs(images);
  checkJobs(command, jobs, resultsOf);
  await checkOut(out);
  return jobs;
}

/** That no result takes an image's or another result's place. @throws when one would */
function checkJobs(where: string, jobs: readonly ImageJob[], resultsOf: (name: string) => readonly string[]): void {
  const paths = new Set(jobs.map(({ path }) => resolve(path)));
  for (const result of jobs.flatMap(({ name }) => resultsOf(name)))
    if (paths.has(resolve(result))) checkResult(where, result, [result]);
  const twice = isRepeated(jobs.map(({ name }) => name));
  const other = jobs.find(({ name }) => twice(name));
  if (other === undefined) return;
  throw new Error(`${other.path}: results have one image each; got two of "${other.name}"; rename one of them`);
}

export interface JobsResult {
  readonly done: number;
  /** Images whose results were there. */
  readonly skipped: number;
  /** A line for each image that failed. */
  readonly failed: readonly string[];
}

export interface JobsOptions {
  readonly stage: string;
  /** The folder of results. */
  readonly out: string;
  readonly maxPixels?: number;
  /** What transparent pictures are laid on; without it they keep their alpha. */
  readonly background?: Colour;
  /** Leave out the images all of whose results are there. */
  readonly skipExisting?: boolean;
  readonly resultsOf: (name: string) => readonly string[];
  readonly work: (image: RgbImage, job: ImageJob) => Promise<readonly ResultFile[]>;
}

const isDone = async (results: readonly string[]): Promise<boolean> =>
  (await Promise.all(results.map(exists))).every((there) => there);

/** Works on each image, with a bar; one that cannot be read or worked on is reported on standard error and left out.
 * @throws OutputError when results cannot be written: then no other image is worked on */
export async function runJobs(
  jobs: readonly ImageJob[],
  { stage, out, maxPixels, background, skipExisting, resultsOf, work }: JobsOptions,
): Promise<JobsResult> {
  const results = await openResults(out);
  const { report, end } = progressReporter();
  const failed: string[] = [];
  let skipped = 0;
  for (const [i, job] of jobs.entries()) {
    if (skipExisting && (await isDone(resultsOf(job.name)))) {
      skipped++;
      continue;
    }
    report({ stage, what: job.path, done: i, total: jobs.length, item: i + 1 });
    try {
      const image = await readImage(job.path, {
        background: background ?? 'keep',
        ...(maxPixels !== undefined && { maxPixels }),
      });
      await results.write(await work(image, job), job.path);
    } catch (error) {
      end();
      if (error instanceof OutputError) throw error;
      const message = error instanceof Error ? error.message : String(error);
      // The command's spelling of what the reader calls an option.
      const said = message.replace('raise maxPixels', 'raise --max-pixels');
      const line = said.startsWith(job.path) ? said : `${job.path}: ${said}`;
      console.error(printable(line.replaceAll('\n', ' ')));
      failed.push(line);
    }
  }
  end();
  return { done: jobs.length - skipped - failed.length, skipped, failed };
}

/** Sums the run up, and sets the process's status. */
export function finishJobs({ done, skipped, failed }: JobsResult, out: string, seconds: number): void {
  const each = done > 0 ? `, ${(seconds / done).toFixed(2)} s each` : '';
  const there = skipped > 0 ? `, ${skipped} were there` : '';
  console.log(`${done} of ${done + skipped + failed.length} images done${there}${each}: ${out}`);
  if (failed.length === 0) return;
  console.error(`${failed.length} of them could not be done; what is wrong with each stands above`);
  process.exitCode = 1;
}
