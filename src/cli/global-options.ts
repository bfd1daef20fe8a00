/** Options that every command takes, before or behind the noun and the verb: which server, as whom, and which output. */
import { choice, file, flag, type OptionValues, text } from "./options.ts";
import { outputFormats } from "./output.ts";

export const globalOptions = {
	output: choice("-o, --output <format>", outputFormats, "form of the result"),
	quiet: flag("-q, --quiet", "print ids only"),
	runDir: { ...text("--run-dir <folder>", "folder of the local node's socket"), completes: "folder" },
	server: text("--server <url>", "another node, for example https://node1:8443"),
	token: text("--token <token>", "API token (seen by other users of this machine; better --token-file)"),
	tokenFile: file("--token-file <file>", "file with the API token"),
	fingerprint: text("--fingerprint <sha256>", "accept exactly the certificate with this fingerprint"),
	cacert: file("--cacert <file>", "trust the authorities in this PEM file, and no others"),
} as const;
export type GlobalOptions = OptionValues<typeof globalOptions>;

/** Environment variables that say the same; an option wins. */
export const environmentVariables: readonly (readonly [name: string, meaning: string])[] = [
	["LIMIQUANTIX_SERVER", "as `--server`"],
	["LIMIQUANTIX_TOKEN", "as `--token`, unseen by others"],
	["LIMIQUANTIX_FINGERPRINT", "as `--fingerprint`"],
	["LIMIQUANTIX_CACERT", "as `--cacert`"],
	["LIMIQUANTIX_RUN_DIR", "as `--run-dir`"],
	["XDG_CONFIG_HOME", "where `login` keeps its token (default `~/.config`)"],
	["NO_COLOR", "when set, no colours"],
];
