/** The stages of an install, in order. `done` and `total` count bytes or files; total is absent where unknown. */
export interface InstallProgress {
  stage: 'wait' | 'download' | 'unpack' | 'compile' | 'verify';
  what: string;
  done: number;
  total?: number;
}
