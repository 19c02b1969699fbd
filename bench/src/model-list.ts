/** A part of Stable Diffusion 2.1, or Mask2Former, by the name that both sides know it by. */
export interface ModelRow {
  name: string;
  title: string;
}

export const modelList: readonly ModelRow[] = [
  { name: 'text-encoder', title: 'Text encoder, 77 tokens' },
  { name: 'unet', title: 'UNet step, 64 x 64 latents' },
  { name: 'vae-encode', title: 'VAE encode, 512 x 512 pixels' },
  { name: 'vae-decode', title: 'VAE decode, 512 x 512 pixels' },
  { name: 'unet-frozen', title: 'UNet forward and backward, 32 x 32 latents, checkpointed; weights frozen, gradients by the inputs' },
  { name: 'unet-training', title: 'The same with the gradients by all 866 million weights' },
  { name: 'mask2former', title: 'Mask2Former with Swin-L, 512 x 512 pixels, 150 classes' },
  { name: 'mask2former-training', title: 'Its head alone, forward and backward, on RASS\'s features of a 512 x 512 image, every layer\'s logits; gradients by all weights' },
  { name: 'unet-lora', title: 'The same with the gradients by a LoRA of rank 4 on 257 weights, 4 million' },
]; // biome-ignore format: a table

/** Whole training steps at full size: one side fills the memory, so that they do not run beside each other. */
export const trainingList: readonly ModelRow[] = [
  { name: 'scr-step', title: 'Stage 1, one step: 512 x 512, batch 1; L2, LPIPS (VGG), CSD, attention alignment; SCR LoRA, clipping, AdamW' },
  { name: 'seg-step', title: 'Stage 2, one step: 512 x 512, batch 1; Seg LoRA, fusion, Mask2Former head, 150 classes; clipping, AdamW' },
]; // biome-ignore format: a table

/** What is run on WebGPU with our shaders and with TensorFlow.js's own. */
export const webgpuList: readonly ModelRow[] = [
  { name: 'tiny-unet', title: 'UNet step of models/tiny-base, 32 x 32 latents' },
  { name: 'tiny-vae-decode', title: 'VAE decode of models/tiny-base, 32 x 32 latents' },
  { name: 'unet-16', title: "Stable Diffusion 2.1's UNet step, 16 x 16 latents" },
]; // biome-ignore format: a table

/** Stable Diffusion 2.1's UNet with weights that stay in GPU memory as they are stored; each is run beside the same of float32. */
export const packedList: readonly ModelRow[] = [
  { name: 'unet-16-half', title: 'UNet step, 16 x 16 latents, weights of float16' },
  { name: 'unet-16-8-bits', title: 'The same, 8 bits in groups of 32' },
  { name: 'unet-16-4-bits', title: 'The same, 4 bits in groups of 32' },
]; // biome-ignore format: a table
