/**
 * The code under test with counters in it: every function, branch, loop and right side of a logical operator counts
 * how often it was entered. The sources are compiled once for each state of the tree into `build/fuzz/js-<hash>/`.
 *
 * A module asks for its counters when it is loaded: `globalThis.fuzzModule(count, literals)`. Without that function
 * (a module that the main thread loads) they are plain memory.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

export const TOP = fileURLToPath(new URL('../../../', import.meta.url));
export const BUILD = join(TOP, 'build', 'fuzz');

/** Not counted: what the fuzzer itself is made of, and what does not look at the input. */
const PLAIN = /^(test\/|src\/(fs|log|cli)\/)/;

/** Programs of the campaign that are compiled this way. */
const ENTRIES = ['worker', 'boundary-child', 'database-child'] as const;
const HERE = 'test/campaign/fuzz';

/** Compiles the programs and what they import, unless that was done; returns the path of one of them. */
export function instrumented(program: (typeof ENTRIES)[number]): string {
  const sources = reachable(ENTRIES.map((entry) => join(TOP, HERE, `${entry}.ts`)));
  mkdirSync(BUILD, { recursive: true });
  const hash = createHash('sha256').update(readFileSync(fileURLToPath(import.meta.url)));
  for (const [path, text] of sources) hash.update(path).update('\0').update(text);
  const name = `js-${hash.digest('hex').slice(0, 16)}`;
  const target = join(BUILD, name);
  if (!existsSync(target)) {
    const unfinished = `${target}.${process.pid}`;
    for (const [path, text] of sources) {
      const to = join(unfinished, path.replace(/\.ts$/, '.js'));
      mkdirSync(dirname(to), { recursive: true });
      writeFileSync(to, compile(path, text));
    }
    for (const old of readdirSync(BUILD)) {
      if (/^js-[0-9a-f]{16}$/.test(old)) rmSync(join(BUILD, old), { recursive: true, force: true });
    }
    try {
      renameSync(unfinished, target);
    } catch (error) {
      // Another campaign was faster.
      if (!existsSync(target)) throw error;
      rmSync(unfinished, { recursive: true, force: true });
    }
  }
  return join(target, HERE, `${program}.js`);
}

/** These files and everything that they import by a relative path, by path below the top directory. */
function reachable(entries: readonly string[]): Map<string, string> {
  const found = new Map<string, string>();
  const waiting = [...entries];
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    const name = relative(TOP, path);
    if (found.has(name)) continue;
    const text = readFileSync(path, 'utf8');
    found.set(name, text);
    for (const { fileName } of ts.preProcessFile(text).importedFiles) {
      if (fileName.startsWith('.')) waiting.push(resolve(dirname(path), fileName.replace(/\.js$/, '.ts')));
    }
  }
  return found;
}

function compile(path: string, text: string): string {
  const plain = PLAIN.test(path);
  const counting = new Counting();
  const { outputText } = ts.transpileModule(text, {
    fileName: path,
    compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext, verbatimModuleSyntax: true },
    transformers: plain ? {} : { before: [counting.transformer] },
  });
  if (plain) return outputText;
  const { count, literals } = counting;
  const ask = `globalThis.fuzzModule?.(${count}, ${JSON.stringify([...literals])}) ?? new Uint32Array(${count})`;
  return `const ${COUNTERS} = ${ask};\n${outputText}`;
}

const COUNTERS = 'fuzzCounters';

/** Puts counters into one file. */
class Counting {
  /** Counters so far. */
  count = 0;
  /** Strings of the code: what a reader compares its input with. */
  readonly literals = new Set<string>();

  readonly transformer: ts.TransformerFactory<ts.SourceFile> = (context) => (file) => {
    const visit = (node: ts.Node): ts.Node => {
      if (ts.isTypeNode(node) || ts.isImportDeclaration(node)) return node;
      if (ts.isStringLiteral(node) && node.text.length > 1 && node.text.length <= 40) this.literals.add(node.text);
      return this.#counted(ts.visitEachChild(node, visit, context));
    };
    return ts.factory.updateSourceFile(file, ts.visitNodes(file.statements, visit, ts.isStatement));
  };

  #hit(): ts.Expression {
    const { factory } = ts;
    const counter = factory.createElementAccessExpression(factory.createIdentifier(COUNTERS), this.count++);
    return factory.createPostfixIncrement(counter);
  }

  #then(expression: ts.Expression): ts.Expression {
    return ts.factory.createParenthesizedExpression(ts.factory.createComma(this.#hit(), expression));
  }

  #statement(): ts.Statement {
    return ts.factory.createExpressionStatement(this.#hit());
  }

  #block(statement: ts.Statement | undefined): ts.Block {
    const inner = statement === undefined ? [] : ts.isBlock(statement) ? statement.statements : [statement];
    return ts.factory.createBlock([this.#statement(), ...inner], true);
  }

  /** The node with counters where its code can go two ways. */
  #counted(node: ts.Node): ts.Node {
    const { factory: f } = ts;
    if (ts.isIfStatement(node)) {
      return f.updateIfStatement(
        node,
        node.expression,
        this.#block(node.thenStatement),
        this.#block(node.elseStatement),
      );
    }
    if (ts.isForStatement(node)) {
      const { initializer, condition, incrementor } = node;
      return f.updateForStatement(node, initializer, condition, incrementor, this.#block(node.statement));
    }
    if (ts.isForOfStatement(node)) {
      const { awaitModifier, initializer, expression } = node;
      return f.updateForOfStatement(node, awaitModifier, initializer, expression, this.#block(node.statement));
    }
    if (ts.isWhileStatement(node)) return f.updateWhileStatement(node, node.expression, this.#block(node.statement));
    if (ts.isCaseClause(node)) {
      return f.updateCaseClause(node, node.expression, [this.#statement(), ...node.statements]);
    }
    if (ts.isDefaultClause(node)) return f.updateDefaultClause(node, [this.#statement(), ...node.statements]);
    if (ts.isCatchClause(node)) return f.updateCatchClause(node, node.variableDeclaration, this.#block(node.block));
    if (ts.isConditionalExpression(node)) {
      const [yes, no] = [this.#then(node.whenTrue), this.#then(node.whenFalse)];
      return f.updateConditionalExpression(node, node.condition, node.questionToken, yes, node.colonToken, no);
    }
    if (ts.isBinaryExpression(node) && LOGICAL.has(node.operatorToken.kind)) {
      return f.updateBinaryExpression(node, node.left, node.operatorToken, this.#then(node.right));
    }
    return ts.isFunctionLike(node) ? this.#function(node) : node;
  }

  #function(node: ts.SignatureDeclaration): ts.Node {
    const { factory: f } = ts;
    if (ts.isArrowFunction(node)) {
      const { modifiers, typeParameters, parameters, type, equalsGreaterThanToken, body } = node;
      const counted = ts.isBlock(body) ? this.#block(body) : this.#then(body);
      return f.updateArrowFunction(node, modifiers, typeParameters, parameters, type, equalsGreaterThanToken, counted);
    }
    if (ts.isFunctionDeclaration(node) && node.body !== undefined) {
      const { modifiers, asteriskToken, name, typeParameters, parameters, type } = node;
      const body = this.#block(node.body);
      return f.updateFunctionDeclaration(node, modifiers, asteriskToken, name, typeParameters, parameters, type, body);
    }
    if (ts.isMethodDeclaration(node) && node.body !== undefined) {
      const { modifiers, asteriskToken, name, questionToken, typeParameters, parameters, type } = node;
      const body = this.#block(node.body);
      return f.updateMethodDeclaration(
        node,
        modifiers,
        asteriskToken,
        name,
        questionToken,
        typeParameters,
        parameters,
        type,
        body,
      );
    }
    return node;
  }
}

const LOGICAL: ReadonlySet<ts.SyntaxKind> = new Set([
  ts.SyntaxKind.AmpersandAmpersandToken,
  ts.SyntaxKind.BarBarToken,
  ts.SyntaxKind.QuestionQuestionToken,
]);
