import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Dataset } from '@rass/datasets';
import { openAde20k, openFolder, openList, openPairs } from '@rass/datasets/node';
import { exists } from '../files.ts';

/** Opens what a path is: a folder with images/ and annotations/ (ADE20K's layout), one with images/ and clean/ (pairs), a text file (a list), or
 * a folder of images.
 * @throws when it is none */
export async function openAnyDataset(path: string, split?: string): Promise<Dataset> {
  const entry = await stat(path).catch(() => undefined);
  if (entry === undefined) throw new Error(`${path}: a data set is a folder or a list; got nothing; check the path`);
  if (!entry.isDirectory()) return openList(path);
  const hasLayout = (await exists(join(path, 'images'))) && (await exists(join(path, 'annotations')));
  if (hasLayout) return openAde20k(path, { ...(split !== undefined && { split }) });
  const [degraded, clean] = [join(path, 'images'), join(path, 'clean')];
  if (split === undefined && (await exists(degraded)) && (await exists(clean))) return openPairs({ degraded, clean });
  if (split === undefined) return openFolder(path);
  throw new Error(
    `${path}: a split is of ADE20K's layout, images/ and annotations/; got another folder; leave --split out`,
  );
}
