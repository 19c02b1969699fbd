import { closest, MOST, shown } from '@rass/nn';
import * as v from 'valibot';

export type Refuse = (rule: string, got: unknown, remedy?: string) => never;

/** An error that says which configuration is wrong and what to correct. */
export const refuseAs =
  (where: string, file: string): Refuse =>
  (rule, got, remedy = `correct ${file}`) => {
    throw new Error(`${where}: ${rule}; got ${shown(got)}; ${remedy}`);
  };

const COUNT = 'is a whole number from 1 up';

/** A whole number that is looped over or allocated. */
export const countUpTo = (most: number) =>
  v.pipe(v.number(COUNT), v.integer(COUNT), v.minValue(1, COUNT), v.maxValue(most, `is at most ${most}`));

/** Of a tensor. */
export const count = countUpTo(MOST.size);

export const layerCount = countUpTo(MOST.layers);

/** Fields of files, of training and of generation, which transformers 4 writes into every configuration and none of these models looks at.
 * @source transformers 4.30 PretrainedConfig */
const EVERYWHERE = (
  'architectures transformers_version torch_dtype dtype id2label label2id num_labels problem_type finetuning_task ' +
  'task_specific_params tokenizer_class prefix return_dict use_return_dict output_attentions output_hidden_states output_scores ' +
  'return_dict_in_generate chunk_size_feed_forward torchscript use_bfloat16 tf_legacy_loss tie_word_embeddings tie_encoder_decoder ' +
  'is_encoder_decoder is_decoder add_cross_attention cross_attention_hidden_size bos_token_id eos_token_id pad_token_id sep_token_id ' +
  'decoder_start_token_id forced_bos_token_id forced_eos_token_id bad_words_ids suppress_tokens begin_suppress_tokens max_length ' +
  'min_length do_sample early_stopping num_beams num_beam_groups diversity_penalty temperature top_k top_p typical_p ' +
  'repetition_penalty length_penalty no_repeat_ngram_size encoder_no_repeat_ngram_size num_return_sequences ' +
  'remove_invalid_values exponential_decay_length_penalty use_cache gradient_checkpointing'
).split(' ');

/** Fields of every configuration of which one value, as JSON, is implemented. */
const FIXED_EVERYWHERE: Readonly<Record<string, string>> = { pruned_heads: '{}' };

interface KnownFields<Fields extends v.ObjectEntries> {
  readonly fields: Fields;
  /** Fields of which one value, as JSON, is implemented. */
  readonly fixed: Readonly<Record<string, string>>;
  /** Fields of other parts, of training and of files. */
  readonly elsewhere: readonly string[];
  /** Fields that the caller knows not to matter. */
  readonly ignore: readonly string[];
  readonly refuse: Refuse;
}

/** Reads a configuration of Hugging Face, in which every field is known.
 * @throws when one is not, has a wrong value, or asks for what is not implemented, each by name */
export function readConfig<Fields extends v.ObjectEntries>(
  json: unknown,
  { fields, fixed: own, elsewhere, ignore, refuse }: KnownFields<Fields>,
): v.InferOutput<v.ObjectSchema<Fields, undefined>> {
  const fixed = { ...FIXED_EVERYWHERE, ...own };
  const known = [...Object.keys(fields), ...Object.keys(fixed), ...elsewhere];
  for (const [name, value] of Object.entries(json as object)) {
    if (name.startsWith('_') || ignore.includes(name)) continue;
    if (!known.includes(name) && !EVERYWHERE.includes(name)) {
      const remedy = `closest: ${closest(name, known, 2).join(', ')}; if it does not matter, leave it out`;
      refuse('every field of the config is known', name, remedy);
    }
    if (Object.hasOwn(fixed, name) && JSON.stringify(value) !== fixed[name]) {
      refuse(`${name} is ${fixed[name]}`, value, 'other values are not implemented');
    }
  }
  const parsed = v.safeParse(v.object(fields), json, { abortEarly: true });
  if (parsed.success) return parsed.output;
  const [issue] = parsed.issues;
  return refuse(`${String(issue.path?.[0]?.key)} ${issue.message}`, issue.input);
}

/** @throws when it is none */
export function checkObject(json: unknown, refuse: Refuse, remedy: string): void {
  if (typeof json === 'object' && json !== null && !Array.isArray(json)) return;
  refuse('a config is an object', json, remedy);
}
