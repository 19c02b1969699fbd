import { Command } from 'commander';
import { checkCommand } from './backend-check.ts';
import { installCommand } from './backend-install.ts';
import { listCommand } from './backend-list.ts';

/** `rass backend ...`: what this machine can compute on. */
export function backendCommand(): Command {
  return new Command('backend')
    .description('list, install and check the backends that this machine can compute on')
    .addCommand(listCommand())
    .addCommand(installCommand())
    .addCommand(checkCommand());
}
