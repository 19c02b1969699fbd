import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Dataset, DatasetSample } from '@rass/datasets';
import { CLASSES_FILE } from '@rass/datasets/node';
import { type DegradationRecord, type DegradationSettings, degrade } from '@rass/degradation';
import { encodeLabelsPng, encodePng } from '@rass/images';
import { checkFolderPlace, jsonText, makeFolderBeside, writeBeside } from '../files.ts';

export interface DegradedSetOptions {
  readonly out: string;
  readonly settings: DegradationSettings | undefined;
  /** Sample i is degraded from this seed plus i. */
  readonly seed: number;
  readonly count: number;
  readonly onSample?: (index: number, sample: DatasetSample) => void;
}

const nameOf = (index: number): string => String(index).padStart(6, '0');

/** Writes samples in ADE20K's layout with the classes beside them: `images/` (bad ones, and the good ones beside them in
 * `clean/`; or good ones alone where nothing degrades them) and `annotations/` as PNG, `classes.json`, and
 * `degradation.jsonl` with what each was made of. The folder is there whole or not at all.
 * @throws when it is there already, with files in it */
export async function writeDegradedSet(dataset: Dataset, options: DegradedSetOptions): Promise<void> {
  const { out, settings, seed, count, onSample } = options;
  await checkFolderPlace(out, { inputs: [], what: 'a set' });
  await makeFolderBeside(out, async (folder) => {
    const lines: string[] = [];
    const put = (kind: string, index: number, data: Uint8Array): Promise<void> =>
      writeBeside(join(folder, kind, `${nameOf(index)}.png`), data);
    for (let index = 0; index < count; index++) {
      const sample = await dataset.get(index);
      onSample?.(index, sample);
      const { image, record } = degraded(sample, settings, seed + index);
      await put('images', index, encodePng(image));
      // Good photographs by themselves are no pairs: training on them degrades them anew each time.
      if (image !== sample.image) await put('clean', index, encodePng(sample.image));
      if (sample.labels !== undefined) await put('annotations', index, encodeLabelsPng(sample.labels));
      lines.push(JSON.stringify({ image: nameOf(index), from: sample.id, seed: seed + index, record }));
    }
    if (dataset.classes.length > 0) {
      await writeFile(join(folder, CLASSES_FILE), jsonText(dataset.classes));
    }
    await writeFile(join(folder, 'degradation.jsonl'), `${lines.join('\n')}\n`);
  });
}

function degraded(
  { image, degraded: given }: DatasetSample,
  settings: DegradationSettings | undefined,
  seed: number,
): { image: DatasetSample['image']; record: DegradationRecord | null } {
  if (given !== undefined) return { image: given, record: null };
  if (settings === undefined) return { image, record: null };
  return degrade(image, settings, { seed });
}
