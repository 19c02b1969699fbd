export interface ReadmeProgram {
  readonly code: string;
  readonly extension: string;
  readonly runs: boolean;
  readonly printed?: string;
}
export function programsOf(readme: string): ReadmeProgram[];
export function installedBy(readme: string): string[];
