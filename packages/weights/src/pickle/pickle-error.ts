import { WeightsError } from '../error.ts';

/** Why a pickle, or the PyTorch file around it, is not read. */
export type PickleRule =
  | 'GlobalRefused'
  | 'OpcodeRefused'
  | 'PersistentIdRefused'
  | 'ArgumentsRefused'
  | 'Truncated'
  | 'BadOpcode'
  | 'BadStack'
  | 'BadMemo'
  | 'BadNumber'
  | 'TooLarge'
  | 'BadStructure'
  | 'BadTensor'
  | 'BadZip'
  | 'UnsupportedFormat'
  | 'UnsupportedDtype';

/** A pickle asks for something outside the fixed list, or is damaged. Nothing in it was run. */
export class PickleError extends WeightsError {
  declare readonly rule: PickleRule;

  constructor(rule: PickleRule, message: string, options?: ErrorOptions) {
    super(rule, message, options);
    this.name = 'PickleError';
  }
}
