/**
 * The patterns of the model's schemas that forms check as one types. Written again here because the schemas carry
 * TypeBox, which the browser need not load; patterns.test.ts holds them equal to the model.
 */
export const namePattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$";
export const tagPattern = "^[a-z0-9][a-z0-9._:/-]{0,62}$";
export const macPattern = "^(?!00(:00){5}$)[0-9a-f][02468ace](:[0-9a-f]{2}){5}$";
export const interfaceNamePattern = "^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$";
export const userNamePattern = "^[a-z][a-z0-9._-]{0,31}$";
export const tokenNamePattern = "^[A-Za-z0-9][A-Za-z0-9._ -]{0,62}$";
export const sha256Pattern = "^[0-9a-f]{64}$";
export const poolPathPattern = "^/[^\\u0000-\\u001f]*$";
export const guestUserPattern = "^[a-z_][a-z0-9_-]{0,31}$";
export const hostNamePattern = "^[A-Za-z0-9]([A-Za-z0-9-]{0,62})$";
export const packagePattern = "^[A-Za-z0-9][A-Za-z0-9.+:_-]{0,127}$";
export const passwordHashPattern = "^\\$[0-9a-z]+\\$[^\\s:]+$";
export const cidrPattern = "^[0-9a-fA-F.:]+/[0-9]{1,3}$";
export const ipv4Pattern = "^(25[0-5]|2[0-4]\\d|1?\\d?\\d)(\\.(25[0-5]|2[0-4]\\d|1?\\d?\\d)){3}$";
export const addressPattern = "^[0-9a-fA-F.:]{2,45}$";
export const peerAddressPattern =
	"^(\\[[0-9a-fA-F:.]{2,45}\\]|[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?):[0-9]{1,5}$";
export const imageUrlPattern = "^https?://[^\\s\\u0000]+$";
export const hostPattern = "^([A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:.]{2,45})$";
export const hostPortPattern =
	"^([A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?|\\[[0-9A-Fa-f:.]{2,45}\\])(:[1-9][0-9]{0,4})?$";
export const exportFolderPattern = "^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*$";
export const mountOptionPattern = "^[a-z][a-z0-9_]*(=[A-Za-z0-9._:-]{1,40})?$";
export const cephNamePattern = "^[A-Za-z0-9_][A-Za-z0-9_.-]*$";
export const cephKeyPattern = "^[A-Za-z0-9+/]{16,250}={0,2}$";
export const iscsiNamePattern =
	"^(iqn\\.[0-9]{4}-[0-9]{2}\\.[a-z0-9.-]{1,180}(:[a-z0-9.:-]{1,200})?|eui\\.[0-9A-Fa-f]{16}|naa\\.[0-9A-Fa-f]{16,32})$";
export const wwidPattern = "^(naa|eui|t10|scsi)\\.[\\x21-\\x7e ]{1,250}$";
export const chapUserPattern = "^[A-Za-z0-9._:-]{1,64}$";
export const chapPasswordPattern = "^[\\x21-\\x7e]*$";
export const minChapPasswordLength = 12;
export const minPasswordLength = 12;

const compiled = new Map<string, RegExp>();

export function fits(pattern: string, text: string): boolean {
	let expression = compiled.get(pattern);
	if (!expression) {
		expression = new RegExp(pattern);
		compiled.set(pattern, expression);
	}
	return expression.test(text);
}
