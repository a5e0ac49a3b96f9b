// Draws the reference page from the OpenAPI document of the server that the page is from. Runs in the browser, after swagger-ui-bundle.js. Not here: what the
// page may load (../reference.ts says it in its Content-Security-Policy).

/* global SwaggerUIBundle */
SwaggerUIBundle({
  url: 'openapi.json',
  dom_id: '#reference',
  deepLinking: true,
  docExpansion: 'list',
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  filter: true,
  // Nothing is asked of anybody else: without this, documents that are not on loopback are sent to a validator of the vendor's.
  validatorUrl: null,
  // A signature is another one for each call, and the page has none to give.
  supportedSubmitMethods: document.body.dataset.auth === 'open' ? ['get', 'post', 'put', 'patch', 'delete'] : [],
  // Actions have a fragment in their paths, which would swallow the query.
  requestInterceptor: request => ({ ...request, url: request.url.replace(/#[^?]*/, '') }),
})
