/** Text from a guest's serial port as plain text: escape sequences, bells and overwritten lines are taken out. Pure. */
const escapes = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[()][0-9A-Za-z]|[@-Z\\-_=>78c])/g;
const controls = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/g;

export function stripTerminalCodes(text: string): string {
	return text
		.replace(escapes, "")
		.replaceAll("\r\n", "\n")
		.split("\n")
		.map((line) => line.slice(line.replace(/\r+$/, "").lastIndexOf("\r") + 1).replaceAll("\r", ""))
		.join("\n")
		.replace(controls, "");
}
