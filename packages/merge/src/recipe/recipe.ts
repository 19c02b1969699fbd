import { DORA_RULES, type DoraRule } from '@rass/lora';
import { closest } from '@rass/nn';
import * as v from 'valibot';
import { parseAllDocuments, type Document as YamlDocument } from 'yaml';
import type { ParameterValue } from '../methods/parameter.ts';
import { type FLOATS, outDtype } from './out-dtype.ts';

/** A value, or a list that is a gradient over the model's depth. */
export type SettingValue = ParameterValue | readonly number[];

/** A value for some tensors: those whose name has `filter` in it, or in whole steps of whose path `block` stands; without either for all. */
export interface Condition {
  readonly filter?: string;
  readonly block?: string;
  readonly value: SettingValue;
}

/** What a recipe says of a parameter. Of several conditions the first that fits counts. */
export type Setting = SettingValue | Condition | readonly Condition[];
export type Settings = Readonly<Record<string, Setting>>;

/** An adapter that is folded into a model before it is merged. */
export interface RecipeLora {
  readonly path: string;
  readonly scale: number;
  /** The rule by which DoRA is scaled where the scale is not 1; absent: PEFT's. */
  readonly dora?: DoraRule;
  /** Alpha of layers of which the file says none; absent: what its format means. */
  readonly alpha?: number;
  /** Which of the file's adapters; needed where it has several. */
  readonly adapter?: string;
  /** Which part of a pipeline: `unet`, `text_encoder`; needed where the file is of parts that the model has not. */
  readonly component?: string;
  /** Parts of the names of keys that may mean nothing. */
  readonly allow_unused: readonly string[];
}

export interface RecipeModel {
  /** A file, a folder, or the name of an earlier stage. */
  readonly model: string;
  /** Of a folder: `fp16` takes `diffusion_pytorch_model.fp16.safetensors`. */
  readonly variant?: string;
  readonly parameters: Settings;
  readonly loras: readonly RecipeLora[];
}

/** One merge. */
export interface Stage {
  readonly name?: string;
  readonly merge_method: string;
  readonly base_model?: string;
  readonly models: readonly RecipeModel[];
  readonly parameters: Settings;
  /** The type of the result's floating-point tensors, as safetensors names it; absent: each tensor's own. */
  readonly out_dtype?: (typeof FLOATS)[number];
  /** What becomes of tensors that not every model has; absent: there may be none. */
  readonly unmatched?: Unmatched;
}

/** `keep` takes a tensor that not every model has as the first has it that does; `drop` leaves it out. */
export type Unmatched = 'keep' | 'drop';

/** What to merge, and how. */
export interface Recipe {
  /** For messages: the file's name. */
  readonly name: string;
  /** The recipe as it was written. */
  readonly text: string;
  /** The last gives the result; each of the others is an input of a later one. */
  readonly stages: readonly Stage[];
}

const value = v.union([v.number(), v.boolean(), v.string(), v.pipe(v.array(v.number()), v.minLength(1))]);
const condition = v.pipe(
  v.strictObject({ filter: v.optional(v.string()), block: v.optional(v.string()), value }),
  v.check(
    ({ filter, block }) => filter === undefined || block === undefined,
    'a condition has a filter or a block, not both',
  ),
);
const setting = v.union([value, condition, v.pipe(v.array(condition), v.minLength(1))]);
const settings = v.optional(v.record(v.string(), setting), {});
const text = v.pipe(v.string(), v.nonEmpty());

const FIELDS = {
  lora: {
    path: text,
    scale: v.optional(v.pipe(v.number(), v.finite()), 1),
    adapter: v.optional(text),
    dora: v.optional(v.picklist(DORA_RULES)),
    alpha: v.optional(v.pipe(v.number(), v.finite(), v.notValue(0))),
    component: v.optional(text),
    allow_unused: v.optional(v.array(text), []),
  },
  model: {
    model: text,
    variant: v.optional(v.pipe(text, v.regex(/^[\w-]+$/, 'a variant is a word'))),
    parameters: settings,
  },
  stage: {
    name: v.optional(v.pipe(v.string(), v.regex(/^[\w-]+$/, 'a name has letters, digits, _ and - only'))),
    merge_method: text,
    base_model: v.optional(text),
    parameters: settings,
    out_dtype: v.optional(v.string()),
    unmatched: v.optional(v.picklist(['keep', 'drop'], 'it is keep or drop')),
  },
} as const;

/** Fields of mergekit's recipes that mean nothing for state dicts, with what to do instead. */
const REFUSED: Readonly<Record<string, string>> = {
  tokenizer: 'there is no tokenizer to merge; copy the files',
  tokenizer_source: 'there is no tokenizer to merge; copy the files',
  chat_template: 'there is no tokenizer to merge; copy the files',
  slices: 'layers are not stacked; use models, and filter or block for parts of them',
  modules: 'a recipe is of one state dict; use a recipe for each',
};

/** Checks that an object has the fields of its kind and no others. */
function fieldsOf(where: string, what: string, given: unknown, known: readonly string[]): Record<string, unknown> {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw new Error(`${where}: ${what} is a map of fields; got ${JSON.stringify(given) ?? 'nothing'}; see the README`);
  }
  for (const field of Object.keys(given)) {
    if (known.includes(field)) continue;
    if (REFUSED[field] !== undefined) throw new Error(`${where}: ${field} has no place here; ${REFUSED[field]}`);
    throw new Error(
      `${where}: ${what} has the fields ${known.join(', ')}; got "${field}"; closest: ${closest(field, known)[0]}`,
    );
  }
  return given as Record<string, unknown>;
}

function parsed<S extends v.ObjectEntries>(where: string, entries: S, given: Record<string, unknown>) {
  const result = v.safeParse(v.object(entries), given);
  if (result.success) return result.output;
  const [issue] = result.issues;
  const field = v.getDotPath(issue) ?? '';
  throw new Error(
    `${where}: ${field}: ${issue.message}; got ${JSON.stringify(issue.input) ?? 'nothing'}; see the README`,
  );
}

function listOf(where: string, field: string, given: unknown): readonly unknown[] {
  if (Array.isArray(given) && given.length > 0) return given;
  throw new Error(
    `${where}: ${field} is a list of at least one; got ${JSON.stringify(given) ?? 'nothing'}; see the README`,
  );
}

function loraOf(where: string, given: unknown): RecipeLora {
  return parsed(where, FIELDS.lora, fieldsOf(where, 'an entry of loras', given, Object.keys(FIELDS.lora)));
}

function modelOf(where: string, given: unknown): RecipeModel {
  const fields = fieldsOf(where, 'an entry of models', given, [...Object.keys(FIELDS.model), 'loras']);
  const { loras, ...rest } = fields;
  const list = loras === undefined ? [] : listOf(where, 'loras', loras);
  return { ...parsed(where, FIELDS.model, rest), loras: list.map((each, i) => loraOf(`${where}: loras[${i}]`, each)) };
}

function checkDtype(where: string, dtype: unknown): void {
  if (dtype === undefined || dtype === 'float32') return;
  throw new Error(
    `${where}: dtype: merging computes in float32; got ${dtype}; set out_dtype: ${dtype} for the result's type`,
  );
}

function stageOf(where: string, given: unknown): Stage {
  const fields = fieldsOf(where, 'a recipe', given, [...Object.keys(FIELDS.stage), 'dtype', 'models']);
  const { models, dtype, ...rest } = fields;
  checkDtype(where, dtype);
  const { out_dtype, ...stage } = parsed(where, FIELDS.stage, rest);
  const list = listOf(where, 'models', models).map((each, i) => modelOf(`${where}: models[${i}]`, each));
  return { ...stage, models: list, ...(out_dtype !== undefined && { out_dtype: outDtype(where, out_dtype) }) };
}

/** For JSON.stringify: no field of a file is infinite, or no number. */
function finite(field: string, value: unknown): unknown {
  if (typeof value !== 'number' || Number.isFinite(value)) return value;
  throw new RangeError(`${field} is a finite number, not ${value}`);
}

/** A document's value. @throws where a number is not finite or an alias stands in what it is one of, or aliases of aliases would make too much of a small file */
function documentValue(name: string, document: YamlDocument): unknown {
  try {
    const value = document.toJS() as unknown;
    JSON.stringify(value, finite);
    return value;
  } catch (cause) {
    const reason = (cause as Error).message.split('\n')[0];
    throw new Error(
      `${name}: a recipe has plain values, and aliases of values outside of themselves, a few each; got "${reason}"; write them out`,
      {
        cause,
      },
    );
  }
}

/** The stages as they are written: one document each, or a list under `stages` in a single one. */
function documentsOf(name: string, source: string): unknown[] {
  const documents = parseAllDocuments(source);
  const list = 'empty' in documents ? [] : documents;
  const error = list.flatMap(({ errors }) => errors)[0];
  if (error !== undefined) {
    throw new Error(`${name}: a recipe is YAML; got "${error.message.split('\n')[0]}"; mend it there`, {
      cause: error,
    });
  }
  const values = list.map((document) => documentValue(name, document)).filter((each) => each !== null);
  const [only] = values;
  if (values.length !== 1 || typeof only !== 'object' || only === null || !('stages' in only)) return values;
  const { stages } = fieldsOf(name, 'a recipe of stages', only, ['stages']);
  return [...listOf(name, 'stages', stages)];
}

/** Where a stage stands, for messages. */
export const stageTitle = (recipe: string, count: number, index: number, name: string | undefined): string =>
  count === 1 ? recipe : `${recipe}: stage ${name === undefined ? index + 1 : `"${name}"`}`;

function checkStages(name: string, stages: readonly Stage[]): void {
  const names = new Set<string>();
  for (const [i, stage] of stages.entries()) {
    const where = stageTitle(name, stages.length, i, stage.name);
    const isLast = i === stages.length - 1;
    if (!isLast && stage.name === undefined) {
      throw new Error(`${where}: a stage before the last has a name; got none; later stages name it as a model`);
    }
    if (stage.name !== undefined && names.has(stage.name)) {
      throw new Error(`${where}: each stage has a name of its own; got "${stage.name}" twice; rename one`);
    }
    if (!isLast && stage.out_dtype !== undefined) {
      throw new Error(
        `${where}: the last stage has an out_dtype; got ${stage.out_dtype}; what comes before stays float32`,
      );
    }
    if (stage.name !== undefined) names.add(stage.name);
  }
}

/** Reads a recipe: mergekit's for raw state dicts, with loras, blocks and stages. Nothing else is opened.
 * @throws naming the field that is wrong or unknown, with the closest */
export function parseRecipe(source: string, name = 'recipe'): Recipe {
  const documents = documentsOf(name, source);
  if (documents.length === 0) {
    throw new Error(`${name}: a recipe has a merge_method and models; got an empty file; see the README`);
  }
  const nameOf = (given: unknown): string | undefined => {
    const field = typeof given === 'object' && given !== null && 'name' in given ? given.name : undefined;
    return typeof field === 'string' ? field : undefined;
  };
  const stages = documents.map((each, i) => stageOf(stageTitle(name, documents.length, i, nameOf(each)), each));
  checkStages(name, stages);
  return { name, text: source, stages };
}
