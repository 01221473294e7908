// What of an attack's packets gets to the host, and what of it gets past the worker's rules: the kernel's own counters in a table of
// the test's, before and right behind those of the worker (worker/egress.c). A packet that is not to come is then not waited for:
// it has arrived, and it has not passed.
import { execFile, execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { promisify } from 'node:util';
import { waitFor } from './program.mjs';

const TO_HOST = ['udp_host', 'tcp_host'];
const THROUGH = ['udp_beyond', 'knock'];
const KINDS = [...TO_HOST, ...THROUGH];
const nft = promisify(execFile);
const tableOf = (pid) => `attack_${pid}`;

/** Removes the tables of runs that were killed. */
function removeDead() {
  for (const [, pid] of execFileSync('nft', ['list', 'tables']).toString().matchAll(/^table inet attack_(\d+)$/gm)) {
    if (existsSync(`/proc/${pid}`)) continue;
    try {
      execFileSync('nft', ['delete', 'table', 'inet', tableOf(pid)]);
    } catch {
      // somebody else removed it too
    }
  }
}

/** Counts, of the targets: UDP to this host and to the addresses beyond it (udp_host, udp_beyond), connections that are begun to this
 * host (tcp_host), and those that the visitor begins to insidePort (knock). No address of a berth is named: it would be found as
 * left over. */
export function countPackets(scope, { udpPort, tcpPort, insidePort, addresses, visitor }) {
  const table = tableOf(process.pid);
  const beyond = `{ ${addresses.join(', ')} }`;
  const begun = 'tcp flags & (syn | ack) == syn';
  const match = {
    udp_host: `udp dport ${udpPort} ip daddr != ${beyond}`,
    udp_beyond: `udp dport ${udpPort} ip daddr ${beyond}`,
    tcp_host: `tcp dport ${tcpPort} ${begun}`,
    knock: `ip saddr ${visitor} tcp dport ${insidePort} ${begun}`,
  };
  const rules = (prefix, kinds) => kinds.map((kind) => `${match[kind]} counter name ${prefix}_${kind}`).join('\n');
  removeDead();
  execFileSync('nft', ['-f', '-'], {
    input: `table inet ${table} {
      ${['arrived', 'passed'].flatMap((prefix) => KINDS.map((kind) => `counter ${prefix}_${kind} { }`)).join('\n')}
      chain before { type filter hook prerouting priority raw; ${rules('arrived', KINDS)}
      }
      chain to_host { type filter hook input priority filter - 9; ${rules('passed', TO_HOST)}
      }
      chain through { type filter hook forward priority filter - 9; ${rules('passed', THROUGH)}
      }
    }`,
  });
  scope.after(() => execFileSync('nft', ['delete', 'table', 'inet', table]));

  /** { arrived, passed }: packets of each kind so far. */
  async function counts() {
    const { stdout } = await nft('nft', ['-j', 'list', 'counters', 'table', 'inet', table]);
    const found = { arrived: {}, passed: {} };
    for (const { counter } of JSON.parse(stdout).nftables) {
      const [, prefix, kind] = /^(arrived|passed)_(.*)$/.exec(counter?.name ?? '') ?? [];
      if (prefix) found[prefix][kind] = counter.packets;
    }
    return found;
  }

  return {
    counts,
    /** Until packets of this kind have arrived since those counts. What came of them is in the counts from then on. */
    arrived: (kind, since, timeout = 60000) =>
      waitFor(async () => (await counts()).arrived[kind] > since.arrived[kind], { timeout, what: `packets of ${kind} to arrive` }),
  };
}
