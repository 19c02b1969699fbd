import { WeightsError } from '../error.ts';

/** The rules of the format, named as the reference implementation names them; the last four are of this package. */
export type SafetensorsRule =
  | 'HeaderTooSmall'
  | 'HeaderTooLarge'
  | 'InvalidHeaderLength'
  | 'InvalidHeader'
  | 'InvalidHeaderDeserialization'
  | 'InvalidOffset'
  | 'ValidationOverflow'
  | 'MisalignedSlice'
  | 'TensorInvalidInfo'
  | 'MetadataIncompleteBuffer'
  | 'TensorNotFound'
  | 'InvalidTensorView'
  | 'InvalidName'
  | 'InvalidPart'
  | 'InvalidIndex'
  | 'NotWritten'
  | 'InvalidShardSize';

/** A safetensors file, or a tensor to be written to one, breaks a rule of the format. */
export class SafetensorsError extends WeightsError {
  declare readonly rule: SafetensorsRule;

  constructor(rule: SafetensorsRule, message: string, options?: ErrorOptions) {
    super(rule, message, options);
    this.name = 'SafetensorsError';
  }
}
