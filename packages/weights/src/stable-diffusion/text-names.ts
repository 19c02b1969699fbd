import type { Renaming } from '../rename/rules.ts';

/** Where the prefix of Stable Diffusion 1's text encoder ends: behind it are transformers' own names. */
export const CLIP_PREFIX = 'cond_stage_model.transformer.';
/** Where the prefix of Stable Diffusion 2's text encoder ends: behind it are OpenCLIP's names. */
export const OPEN_CLIP_PREFIX = 'cond_stage_model.model.';

/** Some files leave the `text_model.` out. */
export const CLIP_RENAMING: Renaming = [
  [
    { prefix: 'text_model.', to: 'text_model.' },
    { prefix: 'embeddings.', to: 'text_model.embeddings.' },
    { prefix: 'encoder.', to: 'text_model.encoder.' },
    { prefix: 'final_layer_norm.', to: 'text_model.final_layer_norm.' },
  ],
];

/** From OpenCLIP's names, without their prefix, to transformers'; the fused projections apart.
 * @source diffusers `convert_open_clip_checkpoint` */
export const OPEN_CLIP_RENAMING: Renaming = [
  [
    { exact: 'token_embedding.weight', to: 'text_model.embeddings.token_embedding.weight' },
    { exact: 'positional_embedding', to: 'text_model.embeddings.position_embedding.weight' },
    { prefix: 'ln_final.', to: 'text_model.final_layer_norm.' },
    { prefix: 'transformer.resblocks.', to: 'text_model.encoder.layers.' },
  ],
  [
    { template: '{layer*}.ln_1.{leaf}', to: '{layer*}.layer_norm1.{leaf}' },
    { template: '{layer*}.ln_2.{leaf}', to: '{layer*}.layer_norm2.{leaf}' },
    { template: '{layer*}.mlp.c_fc.{leaf}', to: '{layer*}.mlp.fc1.{leaf}' },
    { template: '{layer*}.mlp.c_proj.{leaf}', to: '{layer*}.mlp.fc2.{leaf}' },
    { template: '{layer*}.attn.out_proj.{leaf}', to: '{layer*}.self_attn.out_proj.{leaf}' },
    { template: '{layer*}.attn.in_proj_weight', to: '{layer*}.self_attn.in_proj.weight' },
    { template: '{layer*}.attn.in_proj_bias', to: '{layer*}.self_attn.in_proj.bias' },
  ],
];
