/* The admin API, readable: drawn from its OpenAPI document. */

import {ask, curl, path as withQuery} from './api.js';
import {h} from './dom.js';
import {copyButton} from './findings.js';

const METHODS = ['get', 'post', 'delete'];
const DEEPEST = 4;

export class ApiView {
  tab = 'api';
  #document = null;

  constructor() {
    this.body = h('div', {class: 'api'}, h('p', {class: 'quiet', text: 'Loading…'}));
    this.element = h('section', {class: 'page narrow', 'aria-label': 'API'}, h('h1', {text: 'Admin API'}), this.body);
  }

  title() {
    return 'API';
  }

  leave() {}

  async enter() {
    if (this.#document) return;
    try {
      this.#document = await ask('openapi.json');
      this.#draw();
    } catch (error) {
      this.body.replaceChildren(h('p', {class: 'callout bad', text: error.message}));
    }
  }

  #draw() {
    const {info, paths} = this.#document;
    const operations = Object.entries(paths).flatMap(([path, item]) =>
      METHODS.filter((method) => item[method]).map((method) => ({path, method, ...item[method]})),
    );
    this.body.replaceChildren(
      h('p', {class: 'lead', text: info.description || info.title}),
      h(
        'p',
        {class: 'quiet'},
        `Version ${info.version}. As JSON: `,
        h('a', {href: '/_emu/openapi.json', text: 'openapi.json'}),
      ),
      ...operations.map((operation) => this.#operation(operation)),
    );
  }

  #operation(operation) {
    const {path, method, summary, description} = operation;
    return h(
      'details',
      {class: 'operation'},
      h(
        'summary',
        {},
        h('span', {class: `method is-${method}`, text: method.toUpperCase()}),
        h('code', {text: path}),
        h('span', {class: 'quiet', text: summary || ''}),
      ),
      h(
        'div',
        {class: 'operation-body'},
        description && h('p', {text: description}),
        this.#parameters(operation),
        this.#body(operation),
        this.#responses(operation),
        this.#example(operation),
      ),
    );
  }

  #parameters(operation) {
    const parameters = (operation.parameters || []).map((each) => this.#resolved(each));
    if (!parameters.length) return null;
    return this.#fields(
      'Parameters',
      parameters.map((each) => ({
        name: each.name,
        required: each.required,
        type: this.#type(each.schema),
        text: each.description || (each.schema && each.schema.description) || '',
      })),
    );
  }

  #body(operation) {
    const schema = this.#schemaOf(operation.requestBody);
    if (!schema || !schema.properties) return null;
    return this.#fields(
      'Body, as application/json',
      Object.entries(schema.properties).map(([name, each]) => {
        const is = this.#resolved(each);
        return {
          name,
          required: (schema.required || []).includes(name),
          type: this.#type(is),
          text: is.description || '',
        };
      }),
    );
  }

  #fields(title, fields) {
    return h(
      'div',
      {},
      h('h2', {text: title}),
      h(
        'table',
        {class: 'small'},
        h('thead', {}, h('tr', {}, ...['Name', 'Type', 'What it is'].map((text) => h('th', {scope: 'col', text})))),
        h(
          'tbody',
          {},
          ...fields.map((each) =>
            h(
              'tr',
              {},
              h('th', {scope: 'row'}, h('code', {text: each.name}), each.required ? ' *' : ''),
              h('td', {text: each.type}),
              h('td', {class: 'wrap', text: `${each.text}${each.required ? `${each.text ? ' ' : ''}(required)` : ''}`}),
            ),
          ),
        ),
      ),
    );
  }

  #responses(operation) {
    const rows = Object.entries(operation.responses || {}).map(([status, each]) => {
      const response = this.#resolved(each);
      const schema = this.#schemaOf(response);
      return h(
        'div',
        {class: 'response'},
        h('p', {}, h('code', {text: status}), ' ', response.description || ''),
        schema && status < '300'
          ? h('pre', {
              class: 'shape',
              tabindex: '0',
              'aria-label': `Shape of the answer ${status}`,
              text: this.#shape(schema),
            })
          : null,
      );
    });
    return h('div', {}, h('h2', {text: 'Answers'}), ...rows);
  }

  #example({path, method, ...operation}) {
    const schema = this.#schemaOf(operation.requestBody);
    const needed = schema ? this.#needed(schema) : [];
    const names = needed.length ? needed : Object.keys((schema && schema.properties) || {}).slice(0, 1);
    const body = schema
      ? Object.fromEntries(names.map((name) => [name, this.#sample(schema.properties[name])]))
      : undefined;
    const parameters = (operation.parameters || []).map((each) => this.#resolved(each)).filter((each) => each.required);
    const query = Object.fromEntries(parameters.map((each) => [each.name, this.#sample(each.schema)]));
    const command = curl(withQuery(path, query), body, method === 'delete' ? 'DELETE' : null);
    return h(
      'div',
      {},
      h('h2', {text: 'With curl'}),
      h('pre', {class: 'payload', tabindex: '0', 'aria-label': 'Command', text: command}),
      h(
        'div',
        {class: 'actions'},
        copyButton('Copy', () => command),
      ),
    );
  }

  /** The names of fields without which a body is refused. */
  #needed({required = [], oneOf = [], allOf = []}) {
    return [...required, ...oneOf.slice(0, 1).concat(allOf).flatMap((each) => this.#needed(each))];
  }

  #sample(schema) {
    const is = this.#resolved(schema || {});
    if (is.enum) return is.enum[0];
    return (
      {string: 'anna', integer: 1, number: 1, boolean: true, array: ['anna'], object: {}}[[is.type].flat()[0]] ?? 'anna'
    );
  }

  #resolved(schema) {
    if (!schema || !schema.$ref) return schema;
    return schema.$ref
      .slice(2)
      .split('/')
      .reduce((at, key) => at[key], this.#document);
  }

  #schemaOf(holder) {
    const is = this.#resolved(holder);
    const content = is && is.content && is.content['application/json'];
    return content ? this.#resolved(content.schema) : null;
  }

  #type(schema) {
    const is = this.#resolved(schema) || {};
    if (is.enum) return is.enum.map((each) => JSON.stringify(each)).join(' | ');
    if (is.type === 'array') return `list of ${this.#type(is.items)}`;
    return is.type ? [is.type].flat().join(' | ') : 'any';
  }

  /** The outline of a JSON value, for reading. */
  #shape(schema, depth = 0) {
    const is = this.#resolved(schema) || {};
    const indent = '  '.repeat(depth + 1);
    if (is.allOf) return is.allOf.map((each) => this.#shape(each, depth)).join(' and ');
    if (is.properties && depth < DEEPEST) {
      const lines = Object.entries(is.properties).map(
        ([name, each]) => `${indent}${name}: ${this.#shape(each, depth + 1)}`,
      );
      return `{\n${lines.join('\n')}\n${'  '.repeat(depth)}}`;
    }
    if (is.type === 'array') return `[${this.#shape(is.items, depth)}, …]`;
    return this.#type(is);
  }
}
