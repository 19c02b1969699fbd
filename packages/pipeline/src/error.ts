/** What is asked of a pipeline that it cannot do. `NotOpened`: the model was opened without the task. */
export class PipelineError extends Error {
  readonly rule: 'NotOpened' | 'BadOption' | 'BadImage';

  constructor(rule: PipelineError['rule'], message: string) {
    super(message);
    this.name = 'PipelineError';
    this.rule = rule;
  }
}
