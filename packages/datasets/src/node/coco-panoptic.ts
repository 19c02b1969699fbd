import { join } from 'node:path';
import { IGNORE_LABEL, type LabelMap } from '@rass/images';
import { readImage } from '@rass/images/node';
import * as v from 'valibot';
import { checkedSample, checkIndex, type Dataset, type DatasetClass } from '../dataset.ts';
import { readJson } from './json-file.ts';

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

type Content = v.InferOutput<typeof schema>;

/** What parts of COCO's JSON are of, that are not panoptic. */
const isInstances = (value: unknown): boolean =>
  (value as { annotations?: readonly object[] } | null)?.annotations?.some?.((each) => 'segmentation' in each) === true;

async function readAnnotations(path: string): Promise<Content> {
  const value = await readJson(path, "COCO's panoptic JSON");
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  const [issue] = result.issues;
  const what = isInstances(value)
    ? 'it is of instances, whose annotations are polygons; take panoptic_*.json, or convert it'
    : "it is COCO's panoptic JSON; export it anew";
  throw new Error(`${path}: ${v.getDotPath(issue) ?? ''}: ${issue.message}; ${what}`);
}

const twice = <T>(values: readonly T[]): T | undefined => values.find((each, i) => values.indexOf(each) !== i);

/** @throws when categories have a number or a name twice, a segment's is none of them, or an annotation has no image */
function checkContent(path: string, { categories, annotations, images }: Content): void {
  const again = twice(categories.map(({ id }) => id)) ?? twice(categories.map(({ name }) => name));
  if (again !== undefined) {
    throw new Error(`${path}: categories have a number and a name each; got ${again} twice; number or name one anew`);
  }
  const known = new Set(categories.map(({ id }) => id));
  const files = new Set(images.map(({ id }) => id));
  for (const { file_name, image_id, segments_info } of annotations) {
    if (!files.has(image_id)) {
      throw new Error(`${path}: each annotation has an image; got none for ${image_id}, ${file_name}; export it anew`);
    }
    const other = segments_info.find(({ category_id }) => !known.has(category_id));
    if (other === undefined) continue;
    throw new Error(
      `${path}: each segment is of one of the categories; got ${other.category_id} of segment ${other.id} in ${file_name}; add it to them`,
    );
  }
}

/** A data set in COCO's panoptic format, as semantic labels: each segment's category, by its place among the categories; pixels without a segment
 * are ignored. @throws when the JSON is not of this format, or categories, segments and images do not fit together @source COCO panoptic API */
export async function openCocoPanoptic({ annotations, images, masks }: CocoPanopticFiles): Promise<Dataset> {
  const output = await readAnnotations(annotations);
  checkContent(annotations, output);
  const places = new Map(output.categories.map((category, place) => [category.id, place]));
  const files = new Map(output.images.map((image) => [image.id, image.file_name]));
  const rows = output.annotations;
  const labelsOf = async (row: (typeof rows)[number]): Promise<LabelMap> => {
    const path = join(masks, row.file_name);
    const { width, height, data } = await readImage(path, { colours: 'stored' });
    const segments = new Map(row.segments_info.map((segment) => [segment.id, places.get(segment.category_id)]));
    const labels = new Uint8Array(width * height).fill(IGNORE_LABEL);
    for (let i = 0; i < labels.length; i++) {
      const segment = data[3 * i]! + BYTE * data[3 * i + 1]! + BYTE ** 2 * data[3 * i + 2]!;
      if (segment === 0) continue;
      const place = segments.get(segment);
      if (place === undefined)
        throw new Error(
          `${path}: each segment has a category in the JSON; got none for ${segment}, which the picture has; export it anew`,
        );
      labels[i] = place;
    }
    return { width, height, data: labels };
  };
  return {
    length: rows.length,
    classes: output.categories.map(classOf),
    names: rows.map((row) => files.get(row.image_id)!),
    async getLabels(index) {
      checkIndex(index, rows.length);
      return labelsOf(rows[index]!);
    },
    async get(index) {
      checkIndex(index, rows.length);
      const row = rows[index]!;
      const path = join(images, files.get(row.image_id)!);
      return checkedSample({ id: path, image: await readImage(path), labels: await labelsOf(row) });
    },
  };
}
