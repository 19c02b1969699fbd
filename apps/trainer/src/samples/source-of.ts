import { stat } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';
import type { SourceRecipe } from '../recipe/fields.ts';

/** What a path alone does not say. */
export interface SourceHints {
  /** The folder below images/ and annotations/. */
  readonly split?: string | undefined;
  /** Of COCO panoptic: the folders of its images and of its PNGs. */
  readonly images?: string | undefined;
  readonly masks?: string | undefined;
}

const isFolder = (path: string): Promise<boolean> =>
  stat(path).then(
    (entry) => entry.isDirectory(),
    () => false,
  );

async function firstFolder(what: string, given: string | undefined, guesses: readonly string[]): Promise<string> {
  if (given !== undefined) return given;
  for (const guess of guesses) if (await isFolder(guess)) return guess;
  throw new Error(
    `${guesses[0]}: COCO's ${what} lie in a folder beside its JSON; got none there; name it by --${what}`,
  );
}

/** COCO's own layout: `annotations/panoptic_val2017.json`, its PNGs in `annotations/panoptic_val2017/`, images in `val2017/`. */
async function cocoOf(annotations: string, { images, masks }: SourceHints): Promise<SourceRecipe> {
  const folder = dirname(annotations);
  const name = basename(annotations).replace(/\.json$/i, '');
  const split = name.replace(/^panoptic_/, '');
  return {
    kind: 'coco',
    annotations,
    images: await firstFolder('images', images, [
      join(folder, '..', split),
      join(folder, split),
      join(folder, 'images'),
    ]),
    masks: await firstFolder('masks', masks, [join(folder, name), join(folder, 'masks')]),
  };
}

/** The source that a path is: a folder with images/ and annotations/ (ADE20K's layout), one with images/ and clean/ (pairs), COCO's panoptic
 * JSON, another file (a list), or a folder of images. @throws when it is none */
export async function sourceOf(path: string, hints: SourceHints = {}): Promise<SourceRecipe> {
  const { split, images, masks } = hints;
  const entry = await stat(path).catch(() => undefined);
  if (entry === undefined || !(entry.isFile() || entry.isDirectory())) {
    const got = entry === undefined ? 'nothing' : 'a pipe or a device';
    throw new Error(`${path}: a data set is a folder or a list; got ${got}; check the path`);
  }
  const isCoco = entry.isFile() && /\.json$/i.test(path);
  if (!isCoco && (images ?? masks) !== undefined) {
    throw new Error(`${path}: --images and --masks are of COCO's panoptic JSON; got another set; leave them out`);
  }
  if (isCoco) return cocoOf(path, hints);
  if (entry.isFile()) return { kind: 'list', file: path };
  const has = (name: string): Promise<boolean> => isFolder(join(path, name));
  if ((await has('images')) && (await has('annotations')))
    return { kind: 'ade20k', folder: path, ...(split !== undefined && { split }) };
  if (split !== undefined) {
    throw new Error(
      `${path}: a split is of ADE20K's layout, images/ and annotations/; got another folder; leave --split out`,
    );
  }
  if ((await has('images')) && (await has('clean')))
    return { kind: 'pairs', degraded: join(path, 'images'), clean: join(path, 'clean') };
  return { kind: 'folder', folder: path };
}

/** The place of one path below another's folder, kept where the set is of the same kind. */
function movedCoco(old: Extract<SourceRecipe, { kind: 'coco' }>, annotations: string): SourceHints {
  const beside = (path: string): string => join(dirname(annotations), relative(dirname(old.annotations), path));
  return { images: beside(old.images), masks: beside(old.masks) };
}

/** A source with its set at another place: of a mix the one set that is not drawn. What the recipe says of a set of the same kind stays.
 * @throws when there is nothing at the place, or several sets of a mix could be meant */
export async function withData(source: SourceRecipe, path: string): Promise<SourceRecipe> {
  if (source.kind === 'mix') {
    const sets = source.parts.filter((part) => part.source.kind !== 'scenes');
    if (sets.length !== 1) {
      throw new Error(
        `--data: it is the place of the one set of a mix that is not drawn; got ${sets.length} of them; name each by --set data.source.parts.0.source.folder=...`,
      );
    }
    const parts = await Promise.all(
      source.parts.map(async (part) =>
        part === sets[0] ? { ...part, source: (await withData(part.source, path)) as typeof part.source } : part,
      ),
    );
    return { ...source, parts };
  }
  const hints = source.kind === 'coco' && /\.json$/i.test(path) ? movedCoco(source, path) : {};
  const found = await sourceOf(path, hints);
  // A folder of images/ and annotations/ may be meant as images alone.
  if (source.kind === 'folder' && 'folder' in found) return { ...source, folder: path };
  return found.kind === source.kind ? ({ ...source, ...found } as SourceRecipe) : found;
}
