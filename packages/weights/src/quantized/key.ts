/** The text of a safetensors file that says which of its tensors are quantized. By itself: only where it is there, what reads it is loaded. */
export const QUANTIZATION = 'rass.quantization';
