// An issuer that nobody here wrote: oidc-provider, on this machine.
//
//   node server.mjs PORT KID ALG    port 0 picks a free one; the key is made anew
//
// It says `client keys JSON`, the private keys by which clients say who they are, in PEM and by algorithm, then
// `listening on URL` when it is up. The packages are those of the folder that TOWER_KEEP_NODE names.
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [port, kid, alg] = process.argv.slice(2);
const require = createRequire(join(process.env.TOWER_KEEP_NODE, 'package.json'));
const { Provider } = await import(pathToFileURL(require.resolve('oidc-provider')));

const kinds = {
  RS256: ['rsa', { modulusLength: 2048 }],
  ES256: ['ec', { namedCurve: 'P-256' }],
  EdDSA: ['ed25519', {}],
};
const key = generateKeyPairSync(...kinds[alg]).privateKey.export({ format: 'jwk' });
const clientKeys = Object.fromEntries(['ES256', 'EdDSA'].map((name) => [name, generateKeyPairSync(...kinds[name])]));
const pems = Object.entries(clientKeys).map(([name, { privateKey }]) =>
  [name, privateKey.export({ format: 'pem', type: 'pkcs8' })]);
console.log(`client keys ${JSON.stringify(Object.fromEntries(pems))}`);

const client = (id, more) => ({
  client_id: id,
  client_secret: 'a secret that is a test',
  grant_types: ['client_credentials'],
  id_token_signed_response_alg: alg,
  introspection_signed_response_alg: alg,
  redirect_uris: [],
  response_types: [],
  ...more,
});
// It says who it is by a key, and has no secret.
const clientWithKey = ([name, { publicKey }]) => client(`orders ${name}`, {
  client_secret: undefined,
  jwks: { keys: [{ ...publicKey.export({ format: 'jwk' }), alg: name, use: 'sig' }] },
  token_endpoint_auth_method: 'private_key_jwt',
});

const server = createServer();
server.listen(Number(port), '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [
      client('checkout'),
      client('orders'),
      client('orders by form', { token_endpoint_auth_method: 'client_secret_post' }),
      ...Object.entries(clientKeys).map(clientWithKey),
    ],
    cookies: { keys: ['a key that is a test'] },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      introspection: { enabled: true },
      jwtIntrospection: { enabled: true },
      resourceIndicators: {
        enabled: true,
        // Each resource says by its name which form its tokens have.
        getResourceServerInfo: (_ctx, resource) => ({
          accessTokenFormat: resource.endsWith('/opaque') ? 'opaque' : 'jwt',
          accessTokenTTL: 300,
          audience: resource,
          jwt: { sign: { alg } },
          scope: 'orders:read orders:write',
        }),
      },
      revocation: { enabled: true },
    },
    jwks: { keys: [{ ...key, alg, kid, use: 'sig' }] },
    scopes: ['orders:read', 'orders:write'],
  });
  server.on('request', provider.callback());
  console.log(`listening on ${issuer}`);
});
