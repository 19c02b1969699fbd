import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { IGNORE_LABEL, type LabelMap } from '@rass/images';
import { readImage } from '@rass/images/node';
import * as v from 'valibot';
import { checkedSample, checkIndex, type Dataset, type DatasetClass } from '../dataset.ts';

const id = v.pipe(v.number(), v.integer(), v.minValue(0));
const level = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(255));
const schema = v.object({
  images: v.array(v.object({ id, file_name: v.string() })),
  annotations: v.array(
    v.object({
      image_id: id,
      file_name: v.string(),
      segments_info: v.array(v.object({ id, category_id: id })),
    }),
  ),
  categories: v.pipe(
    v.array(v.object({ id, name: v.string(), color: v.optional(v.tuple([level, level, level])) })),
    v.minLength(1),
    v.maxLength(IGNORE_LABEL),
  ),
});

export interface CocoPanopticFiles {
  /** The JSON file. */
  readonly annotations: string;
  /** The folder of its images. */
  readonly images: string;
  /** The folder of its PNG files, whose colours are segments' numbers. */
  readonly masks: string;
}

const BYTE = 256;
/** Categories without a colour get one by their place; the steps are prime to 256, so that neighbours differ. */
const STEPS = [67, 131, 199] as const;

const classOf = (
  { name, color }: { name: string; color?: DatasetClass['colour'] | undefined },
  place: number,
): DatasetClass => ({
  name,
  colour: color ?? (STEPS.map((step) => ((place + 1) * step) % BYTE) as unknown as DatasetClass['colour']),
});

/** A data set in COCO's panoptic format, as semantic labels: each segment's category, by its place among the categories; pixels without a segment
 * are ignored. @throws when the JSON is not of this format, or a segment has no category @source COCO panoptic API */
export async function openCocoPanoptic({ annotations, images, masks }: CocoPanopticFiles): Promise<Dataset> {
  const result = v.safeParse(schema, JSON.parse(await readFile(annotations, 'utf8')));
  if (!result.success) {
    const [issue] = result.issues;
    throw new Error(
      `${annotations}: ${v.getDotPath(issue) ?? ''}: ${issue.message}; it is COCO's panoptic JSON; export it anew`,
    );
  }
  const { output } = result;
  const places = new Map(output.categories.map((category, place) => [category.id, place]));
  const files = new Map(output.images.map((image) => [image.id, image.file_name]));
  const rows = output.annotations;
  const labelsOf = async (row: (typeof rows)[number]): Promise<LabelMap> => {
    const path = join(masks, row.file_name);
    const { width, height, data } = await readImage(path);
    const segments = new Map(row.segments_info.map((segment) => [segment.id, places.get(segment.category_id)]));
    const labels = new Uint8Array(width * height).fill(IGNORE_LABEL);
    for (let i = 0; i < labels.length; i++) {
      const segment = data[3 * i]! + BYTE * data[3 * i + 1]! + BYTE ** 2 * data[3 * i + 2]!;
      if (segment === 0) continue;
      const place = segments.get(segment);
      if (place === undefined)
        throw new Error(`${path}: each segment has a category in the JSON; got none for ${segment}; export it anew`);
      labels[i] = place;
    }
    return { width, height, data: labels };
  };
  return {
    length: rows.length,
    classes: output.categories.map(classOf),
    async get(index) {
      checkIndex(index, rows.length);
      const row = rows[index]!;
      const file = files.get(row.image_id);
      if (file === undefined) {
        throw new Error(`${annotations}: each annotation has an image; got none for ${row.image_id}; export it anew`);
      }
      const path = join(images, file);
      return checkedSample({ id: path, image: await readImage(path), labels: await labelsOf(row) });
    },
  };
}
