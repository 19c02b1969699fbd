import { randomBytes } from 'node:crypto';
import { copyFile, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { TensorSpec, TensorWriter } from '@rass/weights';
import { createSafetensors, createShardedSafetensors } from '@rass/weights/node';
import { hiddenName, sweepLeftovers } from './leftovers.ts';

/** Where a result goes, and how it is cut. */
export interface OutputOptions {
  /** A name that ends in .safetensors is one file; any other is a folder. */
  readonly out: string;
  readonly maxShardBytes?: number;
  /** The files' name in a folder: `diffusion_pytorch_model`. */
  readonly baseName: string;
  /** A model's config.json, which goes with the weights into a folder. */
  readonly config?: string;
  readonly metadata: Readonly<Record<string, string>>;
}

/** A result on its way: hidden until it is finished. */
export interface Output {
  readonly writer: TensorWriter;
  /** Puts the result in its place. */
  finish(metadata: Readonly<Record<string, string>>): Promise<void>;
  /** Leaves nothing behind. */
  abort(): Promise<void>;
}

const OWN_FILES = /^([^.].*\.safetensors(\.index\.json)?|config\.json)$/;

/** Whether a result is one file, by its name. */
export const isFile = (out: string): boolean => /\.safetensors$/i.test(out);

const kindOf = async (path: string): Promise<'nothing' | 'file' | 'folder'> =>
  stat(path).then(
    (status) => (status.isDirectory() ? 'folder' : 'file'),
    () => 'nothing',
  );

/** Refuses to replace what was not made by merging. */
export async function checkPlace({ out, maxShardBytes }: Pick<OutputOptions, 'out' | 'maxShardBytes'>): Promise<void> {
  const kind = await kindOf(out);
  if (isFile(out) && kind === 'folder') {
    throw new Error(
      `merge: ${out}: a name that ends in .safetensors is a file; got a folder of that name; choose another`,
    );
  }
  if (isFile(out) && maxShardBytes !== undefined) {
    throw new Error(
      `merge: ${out}: shards lie in a folder; got a file and a shard size; leave out .safetensors, or the size`,
    );
  }
  if (isFile(out) || kind === 'nothing') return;
  if (kind === 'file') {
    throw new Error(
      `merge: ${out}: a result is a folder, or a file that ends in .safetensors; got another file; choose another name`,
    );
  }
  const foreign = (await readdir(out)).find((name) => !OWN_FILES.test(name));
  if (foreign === undefined) return;
  throw new Error(
    `merge: ${out}: a folder is replaced as a whole, and so holds weights and a config.json alone; got ${foreign}; choose another`,
  );
}

/** Makes renames in a folder last through a power cut, where the file system can. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r').catch(() => undefined);
  await folder?.sync().catch(() => {});
  await folder?.close();
}

/** Puts a folder in the place of another. In between, for a moment, neither is there; sweepLeftovers brings back the old one. */
async function replaceFolder(hidden: string, out: string, id: string): Promise<void> {
  const old = hiddenName(out, id, 'old');
  const wasThere = (await kindOf(out)) === 'folder';
  if (wasThere) await rename(out, old);
  try {
    await rename(hidden, out);
  } catch (error) {
    if (wasThere) await rename(old, out);
    throw error;
  }
  await syncFolder(dirname(out));
  if (wasThere) await rm(old, { recursive: true, force: true });
}

async function startFolder(specs: ReadonlyMap<string, TensorSpec>, options: OutputOptions): Promise<Output> {
  const { out, maxShardBytes, baseName, config, metadata } = options;
  const id = randomBytes(4).toString('hex');
  const hidden = hiddenName(out, id, 'tmp');
  await mkdir(hidden, { recursive: true });
  const remove = () => rm(hidden, { recursive: true, force: true });
  try {
    const writer = await createShardedSafetensors(hidden, specs, { maxShardBytes, baseName, metadata });
    return {
      writer,
      async finish(late) {
        try {
          await writer.finish(late);
          if (config !== undefined) await copyFile(config, join(hidden, 'config.json'));
          await replaceFolder(hidden, out, id);
        } catch (error) {
          await remove();
          throw error;
        }
      },
      async abort() {
        await writer.abort();
        await remove();
      },
    };
  } catch (error) {
    await remove();
    throw error;
  }
}

/** Starts a result: hidden beside its place until it is whole. What killed processes have left there is cleared away first.
 * @throws when something else is in its place */
export async function startOutput(specs: ReadonlyMap<string, TensorSpec>, options: OutputOptions): Promise<Output> {
  const { out, metadata } = options;
  await checkPlace(options);
  await mkdir(dirname(out), { recursive: true });
  await sweepLeftovers(out);
  if (!isFile(out)) return startFolder(specs, options);
  const writer = await createSafetensors(out, specs, { metadata });
  return { writer, finish: (late) => writer.finish(late), abort: () => writer.abort() };
}
