// Lists the files that `isha generate` writes for a box, with their texts. Pure.
import type { Box } from "../../shared/fleet.ts";
import { cloudflaredConfig, cloudflaredUnit } from "./cloudflared.ts";
import { ecosystemText, type EcosystemOptions } from "./ecosystem.ts";
import { fleetSchemaText } from "./fleet-schema.ts";
import { logrotateText } from "./logrotate.ts";

export interface GeneratedFile {
  /** Relative to the project's folder, or to the folder that the operator names. */
  readonly path: string;
  readonly text: string;
}

export interface GenerateOptions {
  /** The fleet file, unless it is the project's own. */
  readonly fleetFile: string | null;
  /** The project's folder, if the files are written to another one. */
  readonly root?: string;
  readonly knownFlags?: ReadonlySet<string>;
}

/** @throws Error that lists each flag that the box's llama-server doesn't know, if `knownFlags` is given */
export function generatedFiles(box: Box, options: GenerateOptions): GeneratedFile[] {
  const { fleetFile, root, knownFlags } = options;
  const ecosystem: EcosystemOptions = {
    ...(fleetFile === null ? {} : { fleetFile }),
    ...(root === undefined ? {} : { root }),
    ...(knownFlags === undefined ? {} : { knownFlags }),
  };
  const folder = `deploy/${box.name}`;
  return [
    { path: "ecosystem.config.cjs", text: ecosystemText(box, ecosystem) },
    ...(box.tunnel === undefined
      ? []
      : [{ path: `${folder}/cloudflared.yml`, text: cloudflaredConfig(box, box.tunnel) }]),
    { path: `${folder}/cloudflared.service`, text: cloudflaredUnit(box) },
    { path: `${folder}/logrotate`, text: logrotateText(box) },
    { path: "deploy/fleet.schema.json", text: fleetSchemaText() },
  ];
}
