<?php
/*
 * What an administrator has set, as the script on the page wants it; and what may not be set.
 */

namespace Autodial24\Highlight;

use Bitrix\Main\Config\Option;

class Settings
{
	const MODULE = 'autodial24.highlight';
	const COLOR = '/^#([0-9a-f]{3}|[0-9a-f]{6})$/i';

	/** Option => its default. */
	public static function defaults()
	{
		$autodial24_highlight_default_option = array();
		include dirname(__DIR__) . '/default_option.php';
		return $autodial24_highlight_default_option;
	}

	/** Option => value, all of them texts. */
	public static function read()
	{
		$values = array();
		foreach (self::defaults() as $name => $default) {
			$values[$name] = (string)Option::get(self::MODULE, $name, $default);
		}
		return $values;
	}

	/**
	 * What is wrong with these values: option => key of the message. The name of an external line is
	 * pasted unescaped into a script of the desktop app, so that one apostrophe there empties its
	 * call window: the tag, which is that name, may hold nothing of the kind.
	 */
	public static function problems(array $values)
	{
		$wrong = array();
		if (!self::isTag(trim($values['tag']))) {
			$wrong['tag'] = 'AUTODIAL24_HIGHLIGHT_WRONG_TAG';
		}
		if (!preg_match(self::COLOR, $values['color'])) {
			$wrong['color'] = 'AUTODIAL24_HIGHLIGHT_WRONG_COLOR';
		}
		$lines = self::lines($values['lines']);
		if ($lines === array() || in_array(null, $lines, true)) {
			$wrong['lines'] = 'AUTODIAL24_HIGHLIGHT_WRONG_LINES';
		}
		if ($values['sound'] !== '' && !preg_match('#^(https://|/)[^\s"\'<>]+$#', $values['sound'])) {
			$wrong['sound'] = 'AUTODIAL24_HIGHLIGHT_WRONG_SOUND';
		}
		if (!preg_match('/^UF_[A-Z0-9_]{1,50}$/', $values['field'])) {
			$wrong['field'] = 'AUTODIAL24_HIGHLIGHT_WRONG_FIELD';
		}
		return $wrong;
	}

	/** Save all of them; nothing is saved if one is wrong. Returns what is wrong. */
	public static function write(array $values)
	{
		$wrong = self::problems($values);
		if ($wrong === array()) {
			foreach (array_keys(self::defaults()) as $name) {
				Option::set(self::MODULE, $name, trim($values[$name]));
			}
		}
		return $wrong;
	}

	/** window.AUTODIAL_HIGHLIGHT. */
	public static function forScript(array $values)
	{
		return array(
			'enabled' => $values['enabled'] === 'Y',
			'lines' => array_values(array_filter(self::lines($values['lines']))),
			'tag' => trim($values['tag']),
			'color' => $values['color'],
			'sound' => $values['sound'],
			'link' => $values['link'] === 'Y',
			'field' => $values['field'],
		);
	}

	/**
	 * "autodial, autodial-debt=DEBT #b71c1c": a number, or a number with a word and a colour of its
	 * own; null for what is neither.
	 */
	private static function lines($text)
	{
		$found = array();
		foreach (array_filter(array_map('trim', explode(',', $text)), 'strlen') as $one) {
			$parts = array_map('trim', explode('=', $one, 2));
			$number = preg_match('/^[^\s\x23;"\'<>\\\\]{1,50}$/', $parts[0]) === 1;
			if (count($parts) === 1) {
				$found[] = $number ? $parts[0] : null;
				continue;
			}
			$color = preg_match('/\s(\x23[0-9a-f]+)$/i', $parts[1], $match) ? $match[1] : '';
			$tag = trim(substr($parts[1], 0, strlen($parts[1]) - strlen($color)));
			$well = $number && self::isTag($tag) && strpos($tag, '#') === false && ($color === '' || preg_match(self::COLOR, $color));
			$found[] = $well ? array('line' => $parts[0], 'tag' => $tag, 'color' => $color) : null;
		}
		return $found;
	}

	private static function isTag($text)
	{
		return $text !== '' && !preg_match('/[\'"\\\\<>\r\n]/', $text);
	}
}
