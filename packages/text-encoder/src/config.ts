import { closest, MOST, shown } from '@rass/nn';
import * as v from 'valibot';

/** What a CLIP text model is. */
export interface ClipTextConfig {
  readonly vocabularySize: number;
  /** Longest row of tokens. */
  readonly positions: number;
  /** Width of the hidden states, D. */
  readonly width: number;
  /** Width inside the feed-forward networks. */
  readonly innerWidth: number;
  readonly layers: number;
  readonly heads: number;
  readonly activation: 'gelu' | 'quick_gelu';
  readonly normEpsilon: number;
  /** The token whose state is the pooled output; `largest` takes each row's largest id, as CLIP first did. */
  readonly endToken: number | 'largest';
  /** Width of the projected embedding, where the model has that layer. */
  readonly projectionWidth?: number;
}

export interface ClipTextConfigOptions {
  /** Unknown or refused fields that the caller knows not to matter. */
  ignore?: readonly string[];
}

/** Configurations written before the end token was recorded say 2, and mean the row's largest id. */
const LEGACY_END_TOKEN = 2;
const PLAIN = 'CLIPTextModel';
const PROJECTED = 'CLIPTextModelWithProjection';
const COUNT = 'is a whole number from 1 up';
const upTo = (most: number) =>
  v.pipe(v.number(COUNT), v.integer(COUNT), v.minValue(1, COUNT), v.maxValue(most, `is at most ${most}`));
const count = upTo(MOST.size);
const ID = 'is a whole number from 0 up';
const id = v.pipe(v.number(ID), v.integer(ID), v.minValue(0, ID), v.maxValue(MOST.size, `is at most ${MOST.size}`));
const EPSILON = 'is a number from 0 up';
const ACTIVATIONS = 'is gelu or quick_gelu';
const KIND = 'is clip_text_model';
const CLASSES = `is a list of one of ${PLAIN} and ${PROJECTED}`;

/** transformers' defaults. @source transformers CLIPTextConfig */
const fields = v.object({
  vocab_size: v.optional(count, 49408),
  hidden_size: v.optional(count, 512),
  intermediate_size: v.optional(count, 2048),
  projection_dim: v.optional(v.nullable(count), 512),
  num_hidden_layers: v.optional(upTo(MOST.layers), 12),
  num_attention_heads: v.optional(count, 8),
  max_position_embeddings: v.optional(count, 77),
  hidden_act: v.optional(v.picklist(['gelu', 'quick_gelu'], ACTIVATIONS), 'quick_gelu'),
  layer_norm_eps: v.optional(v.pipe(v.number(EPSILON), v.finite(EPSILON), v.minValue(0, EPSILON)), 1e-5),
  eos_token_id: v.optional(id, 49407),
  model_type: v.optional(v.picklist(['clip_text_model'], KIND), 'clip_text_model'),
  architectures: v.optional(v.nullable(v.strictTuple([v.picklist([PLAIN, PROJECTED], CLASSES)], CLASSES)), null),
});

/** Features that we lack, and the values that leave them out. */
const refused: Readonly<Record<string, readonly unknown[]>> = {
  is_decoder: [false],
  is_encoder_decoder: [false],
  add_cross_attention: [false],
  cross_attention_hidden_size: [null],
  quantization_config: [null],
};

/** Fields that change no result: training, other token numbers, file and generation settings of every configuration. */
const idle = (
  'attention_dropout dropout initializer_factor initializer_range bos_token_id pad_token_id sep_token_id cls_token_id ' +
  'mask_token_id decoder_start_token_id transformers_version torch_dtype dtype id2label label2id num_labels problem_type ' +
  'finetuning_task tokenizer_class prefix task_specific_params return_dict return_dict_in_generate output_attentions ' +
  'output_hidden_states output_scores output_logits use_cache torchscript use_bfloat16 tf_legacy_loss tie_word_embeddings ' +
  'tie_encoder_decoder chunk_size_feed_forward gradient_checkpointing use_return_dict max_length min_length do_sample ' +
  'early_stopping num_beams num_beam_groups diversity_penalty temperature top_k top_p typical_p repetition_penalty ' +
  'length_penalty no_repeat_ngram_size encoder_no_repeat_ngram_size bad_words_ids num_return_sequences ' +
  'forced_bos_token_id forced_eos_token_id remove_invalid_values exponential_decay_length_penalty suppress_tokens ' +
  'begin_suppress_tokens'
).split(' ');

function isNeutral(name: string, value: unknown): boolean {
  // Both written as empty where nothing was pruned.
  if (name === 'pruned_heads') return JSON.stringify(value) === '{}' || value === null;
  return refused[name].includes(value);
}

function checkNames(json: Record<string, unknown>, ignore: readonly string[]): void {
  const lacking = [...Object.keys(refused), 'pruned_heads'];
  const known = [...Object.keys(fields.entries), ...lacking, ...idle];
  for (const [name, value] of Object.entries(json)) {
    if (name.startsWith('_') || ignore.includes(name)) continue;
    if (lacking.includes(name)) {
      if (isNeutral(name, value)) continue;
      throw new Error(`clipText: ${name} ${shown(value)} is not implemented; this package runs plain CLIP text models`);
    }
    if (known.includes(name)) continue;
    const hint =
      name === 'text_config'
        ? 'give its text_config alone'
        : `closest: ${closest(name, known, 2).join(', ')}; if it does not matter, leave it out`;
    throw new Error(`clipText: every field of the config is known; got "${name}"; ${hint}`);
  }
}

function readFields(json: unknown, ignore: readonly string[]): v.InferOutput<typeof fields> {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new Error(`clipText: a config is an object; got ${shown(json)}; parse config.json with JSON.parse first`);
  }
  const record = json as Record<string, unknown>;
  checkNames(record, ignore);
  const result = v.safeParse(fields, record, { abortEarly: true });
  if (result.success) return result.output;
  const [issue] = result.issues;
  const field = String(issue.path?.[0]?.key);
  throw new Error(`clipText: ${field} ${issue.message}; got ${shown(record[field])}; correct config.json`);
}

/** Reads transformers' text_encoder/config.json, unchanged; what is absent has transformers' default.
 * @throws when a field is unknown, has a wrong value, or asks for what is not implemented, each by name
 * @source transformers CLIPTextConfig */
export function parseClipTextConfig(json: unknown, { ignore = [] }: ClipTextConfigOptions = {}): ClipTextConfig {
  const c = readFields(json, ignore);
  if (c.hidden_size % c.num_attention_heads !== 0) {
    throw new Error(
      `clipText: hidden_size divides into num_attention_heads; got ${c.hidden_size} and ${c.num_attention_heads}; correct config.json`,
    );
  }
  const projects = c.architectures?.[0] === PROJECTED;
  if (projects && c.projection_dim === null) {
    throw new Error(`clipText: ${PROJECTED} needs projection_dim; got null; correct config.json`);
  }
  return {
    vocabularySize: c.vocab_size,
    positions: c.max_position_embeddings,
    width: c.hidden_size,
    innerWidth: c.intermediate_size,
    layers: c.num_hidden_layers,
    heads: c.num_attention_heads,
    activation: c.hidden_act,
    normEpsilon: c.layer_norm_eps,
    endToken: c.eos_token_id === LEGACY_END_TOKEN ? 'largest' : c.eos_token_id,
    projectionWidth: projects ? (c.projection_dim ?? undefined) : undefined,
  };
}
