import { type BackendCapabilities, type BackendStatus, listBackends } from '@rass/kernels';
import { Command } from 'commander';
import { table } from '../terminal.ts';

function capabilityText(found: BackendCapabilities): string {
  const parts: string[] = [];
  if (found.threads !== undefined) parts.push(`${found.threads} thread${found.threads === 1 ? '' : 's'}`);
  if (found.simd !== undefined) parts.push(found.simd ? 'SIMD' : 'no SIMD');
  if (found.f16 !== undefined) parts.push(found.f16 ? 'f16' : 'no f16');
  if (found.subgroups) parts.push('subgroups');
  if (found.timestamps) parts.push('timestamps');
  if (found.maxTensorBytes !== undefined) parts.push(`tensors to ${(found.maxTensorBytes / 2 ** 20).toFixed(0)} MiB`);
  if (found.software) parts.push('never taken by auto');
  return parts.join(', ');
}

function row(status: BackendStatus): string[] {
  if (!status.available) return [status.name, 'no', status.reason];
  return [status.name, 'yes', [status.description, capabilityText(status.capabilities)].filter(Boolean).join('; ')];
}

async function list({ json, cacheDir }: { json?: boolean; cacheDir?: string }): Promise<void> {
  const statuses = await listBackends(cacheDir === undefined ? {} : { cacheDir });
  if (json) {
    console.log(JSON.stringify(statuses, null, 2));
    return;
  }
  console.log(table([['backend', 'here', 'what it is, or what to do'], ...statuses.map(row)]));
  const auto = statuses.find((status) => status.available && !status.capabilities.software);
  console.log(auto ? `\nauto takes ${auto.name}` : '\nauto finds none');
}

/** `rass backend list`: each backend with what it can do here, or why it cannot be had. */
export function listCommand(): Command {
  return new Command('list')
    .description('show each backend, what it can do here, or what to install')
    .option('--json', 'print it for programs, with all limits')
    .option('--cache-dir <folder>', 'where the native backend was installed')
    .action(list);
}
