import { detectron2Names } from '@rass/mask2former';
import { type Checkpoint, viewCheckpoint } from '@rass/weights';

/** PEFT's, which RASS leaves as it is. */
const ALPHA = 8;
const DOWN = /\.lora_A\.default_(?:encoder|decoder|others)_s2\.weight$/;

/** Rank and alpha of the Seg LoRA in a checkpoint of detectron2's trainer. @throws when there is none, or ranks differ */
export function upstreamLora(checkpoint: Checkpoint): { rank: number; alpha: number } {
  const keys = checkpoint.keys().filter((key) => DOWN.test(key));
  const ranks = [...new Set(keys.map((key) => checkpoint.info(key).shape[0]!))];
  const [rank] = ranks;
  if (rank !== undefined && ranks.length === 1) return { rank, alpha: ALPHA };
  const got = rank === undefined ? 'no adapter' : `ranks of ${ranks.join(', ')}`;
  throw new Error(
    `${checkpoint.name}: it has all of stage 2, a Seg LoRA of one rank; got ${got}; give the model_final.pth of RASS`,
  );
}

const WRAPPERS = /base_model\.model\.|base_layer\./g;

/** The key of a checkpoint that ends as is asked: whatever module holds the UNet, the fusion or the head there. */
function find(wanted: string, keys: ReadonlyMap<string, string>, file: string): string | undefined {
  const exact = keys.get(wanted);
  if (exact !== undefined) return exact;
  const found = [...keys].filter(([plain]) => plain.endsWith(`.${wanted}`));
  // The autoencoder has a first convolution, too.
  const ofUnet = found.length > 1 ? found.filter(([plain]) => plain.includes('unet.')) : found;
  if (ofUnet.length <= 1) return ofUnet[0]?.[1];
  const names = ofUnet.map(([, key]) => key).join(', ');
  throw new Error(`${file}: one tensor of the checkpoint is ${wanted}; got ${names}; take out the others`);
}

/** A checkpoint of detectron2's trainer, RASS's `model_final.pth`, under the names of a stage's file.
 * @throws naming what is not in it @source github.com/Ka1Guan/RASS; detectron2 checkpoint */
export function upstreamSegmentation(checkpoint: Checkpoint, wanted: readonly string[]): Checkpoint {
  const renamed = detectron2Names(checkpoint);
  const keys = new Map(renamed.keys().map((key) => [key.replace(WRAPPERS, ''), key]));
  const found = wanted.map((key) => [key, find(key, keys, checkpoint.name)] as const);
  const missing = found.filter(([, key]) => key === undefined).map(([key]) => key);
  if (missing.length > 0) {
    throw new Error(
      `${checkpoint.name}: it has all of stage 2; got nothing for ${missing.length} of ${wanted.length}: ${missing.slice(0, 4).join(', ')}; give the model_final.pth of RASS`,
    );
  }
  return viewCheckpoint(renamed, new Map(found.map(([key, from]) => [key, { key: from! }])));
}
